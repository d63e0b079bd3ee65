//! Wiring of the render Lambda.

use flambeau_render::{State, router};
use lambda_http::{Error, run};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().with_current_span(false).without_time().init();
    let state = State::from_env().await?;
    tracing::info!(bucket = state.store.bucket(), tenant = %state.tenant, "render starts");
    run(router(state)).await
}
