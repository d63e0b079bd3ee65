//! Wiring of the render Lambda.

use flambeau_render::{State, router};
use lambda_http::{Error, run_with_streaming_response};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().with_current_span(false).without_time().init();
    let state = State::from_env().await?;
    tracing::info!(bucket = state.store.bucket(), tenant = %state.tenant, "render starts");
    // The Function URL's mode must be flambeau_render::INVOKE_MODE for this.
    run_with_streaming_response(router(state)).await
}
