//! The fast/slow function as a Lambda binary.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    flambeau_fast_slow::serve().await
}
