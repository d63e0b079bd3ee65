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

/// The day on which AWS published the prices of [`REGIONS`].
pub const REGIONS_AS_OF: &str = "2025-10-30";
/// Dollars per GB-second of Lambda, first tier, on x86_64 and arm64, where
/// [`REGIONS`] says nothing else: 22 regions, us-east-1 among them.
pub const GB_SECOND_EVERYWHERE: [f64; 2] = [1.666_67e-5, GB_SECOND];
/// Regions with other prices per GB-second, x86_64 and arm64. Source: the feed
/// of AWS's own price page, `meteredUnitMaps/lambda`, of [`REGIONS_AS_OF`].
pub const REGIONS: [(&str, [f64; 2]); 12] = [
    ("af-south-1", [2.21e-5, 1.768e-5]),
    ("ap-east-1", [2.292e-5, 1.83e-5]),
    ("ap-east-2", [1.5e-5, 1.2e-5]),
    ("ap-southeast-5", [1.5e-5, 1.2e-5]),
    ("ap-southeast-6", [1.75e-5, 1.400_01e-5]),
    ("ap-southeast-7", [1.5e-5, 1.2e-5]),
    ("eu-central-2", [1.833_34e-5, 1.466_67e-5]),
    ("eu-south-1", [1.951_72e-5, 1.561_38e-5]),
    ("il-central-1", [1.75e-5, 1.400_01e-5]),
    ("me-central-1", [2.066_67e-5, 1.653_34e-5]),
    ("me-south-1", [2.066_67e-5, 1.653_34e-5]),
    ("mx-central-1", [1.75e-5, 1.4e-5]),
];
