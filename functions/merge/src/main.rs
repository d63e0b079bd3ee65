//! Wiring of the merge Lambda.

use flambeau_merge::{State, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().with_current_span(false).without_time().init();
    let state = State::from_env().await?;
    tracing::info!(bucket = state.store.bucket(), fetches = state.fetches, "merge starts");
    let state = &state;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        let handled = handle(event.payload, state).await?;
        Ok::<_, Error>(handled.response)
    }))
    .await
}
