//! Wiring of the index Lambda.

use flambeau_index::{State, handle};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().json().with_current_span(false).without_time().init();
    let state = State::from_env().await?;
    tracing::info!(bucket = state.store.bucket(), "index starts");
    let state = &state;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        Ok::<_, Error>(handle(event.payload, state).await?.response())
    }))
    .await
}
