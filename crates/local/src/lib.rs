//! One machine: embedded S3 and DynamoDB, the event pump, the Lambda lifecycle.

pub mod dirlock;
pub mod dynamo;
pub mod lambda;
pub mod loopback;
pub mod pump;
pub mod s3;
pub mod serve;

pub use serve::{Endpoints, ServeOptions, Serving};
