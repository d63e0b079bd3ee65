//! Wiring of the render Lambda.

mod keep_memory;
mod send_at_once;

use axum::{extract::Request, middleware::map_request};
use flambeau_render::{State, router};
use keep_memory::keep_memory;
use lambda_http::{Error, run_with_streaming_response};
use send_at_once::send_at_once;

#[tokio::main]
async fn main() -> Result<(), Error> {
    keep_memory();
    tracing_subscriber::fmt().json().with_current_span(false).without_time().init();
    let state = State::from_env().await?;
    tracing::info!(bucket = state.store.bucket(), tenant = %state.tenant, "render starts");
    let app = router(state).layer(map_request(async |request: Request| {
        send_at_once();
        request
    }));
    // The Function URL's mode must be flambeau_render::INVOKE_MODE for this.
    run_with_streaming_response(app).await
}
