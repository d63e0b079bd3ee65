//! Continuous profiling for AWS Lambda functions in Rust.
