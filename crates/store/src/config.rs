//! Where the store is: names from `FLAMBEAU_*`, the rest from AWS's own
//! configuration.

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use flambeau_layout::environment;
use std::time::Duration;

/// Attempts per request, the first included. The service's own queue retries
/// what still fails.
const MAX_ATTEMPTS: u32 = 5;
/// Longest single attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// A setting that is missing.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable without a default is not set.
    #[error("environment variable {0} is not set; it must name {1}")]
    Missing(&'static str, &'static str),
}

/// Names and, where they differ from AWS's configuration, endpoints.
#[derive(Debug, Clone)]
pub struct Config {
    /// The bucket; `FLAMBEAU_BUCKET`.
    pub bucket: String,
    /// Prefix of both tables; `FLAMBEAU_TABLE`.
    pub table: String,
    /// S3 endpoint, else as AWS's configuration has it.
    pub s3_endpoint: Option<String>,
    /// DynamoDB endpoint, else as AWS's configuration has it.
    pub dynamodb_endpoint: Option<String>,
    /// Use these static credentials and a fixed region: embedded servers check
    /// signatures, not people.
    pub credentials: Option<(String, String)>,
}

impl Config {
    /// Reads `FLAMBEAU_BUCKET` and `FLAMBEAU_TABLE`.
    ///
    /// # Errors
    /// When one is not set.
    pub fn from_env() -> Result<Self, ConfigError> {
        let read = |name: &'static str, what: &'static str| {
            std::env::var(name).map_err(|_| ConfigError::Missing(name, what))
        };
        Ok(Self {
            bucket: read(environment::BUCKET, "the bucket of snapshots and blocks")?,
            table: read(environment::TABLE, "the prefix of the claims and blocks tables")?,
            s3_endpoint: None,
            dynamodb_endpoint: None,
            credentials: None,
        })
    }

    pub(crate) async fn clients(&self) -> (aws_sdk_s3::Client, aws_sdk_dynamodb::Client) {
        let shared = self.shared().await;
        let mut s3 = aws_sdk_s3::config::Builder::from(&shared);
        if let Some(url) = self.s3_endpoint.clone().or_else(s3_endpoint_from_env) {
            // Other servers than S3 itself rarely answer to bucket.host names.
            s3 = s3.endpoint_url(url).force_path_style(true);
        }
        let mut dynamo = aws_sdk_dynamodb::config::Builder::from(&shared);
        if let Some(url) = &self.dynamodb_endpoint {
            dynamo = dynamo.endpoint_url(url);
        }
        (
            aws_sdk_s3::Client::from_conf(s3.build()),
            aws_sdk_dynamodb::Client::from_conf(dynamo.build()),
        )
    }

    async fn shared(&self) -> aws_config::SdkConfig {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .timeout_config(timeouts);
        if let Some((id, secret)) = &self.credentials {
            let keys = aws_sdk_s3::config::Credentials::new(id, secret, None, None, "flambeau");
            loader = loader.credentials_provider(keys).region(Region::from_static("us-east-1"));
        }
        loader.load().await
    }
}

fn s3_endpoint_from_env() -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
}
