//! What AWS asks: us-east-1, on demand, without free tiers, November 2026
//! (the services' own price pages). `docs/cost.md` is computed from these.

/// Dollars per S3 PUT, POST or LIST.
pub const PUT: f64 = 5.0 / 1e6;
/// Dollars per S3 GET or HEAD.
pub const GET: f64 = 0.40 / 1e6;
/// Dollars per GB and month in S3 Standard.
pub const S3_GB_MONTH: f64 = 0.023;
/// Dollars per DynamoDB write request unit.
pub const WRITE_UNIT: f64 = 0.625 / 1e6;
/// Dollars per DynamoDB read request unit.
pub const READ_UNIT: f64 = 0.125 / 1e6;
/// Dollars per GB and month in DynamoDB.
pub const DYNAMODB_GB_MONTH: f64 = 0.25;
/// Dollars per SQS request of at most 64 KB.
pub const SQS_REQUEST: f64 = 0.40 / 1e6;
/// Dollars per call of a Lambda function.
pub const CALL: f64 = 0.20 / 1e6;
/// Dollars per GB-second of Lambda on arm64.
pub const GB_SECOND: f64 = 1.333_34e-5;
/// Dollars per CloudWatch alarm and month.
pub const ALARM_MONTH: f64 = 0.10;
