//! How long a request is tried before its error is the caller's.

use std::time::Duration;

use aws_config::{retry::RetryConfig, timeout::TimeoutConfig};

use crate::Store;

/// Attempts and their limits. The default suits a function whose queue delivers
/// again; who waits in front of a screen, or has a shorter deadline, wants less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts per request, the first included; at least one.
    pub attempts: u32,
    /// Longest single attempt.
    pub attempt: Duration,
    /// Mean wait before the second attempt, doubled for each further one.
    pub first_wait: Duration,
}

impl Store {
    /// The same store with another patience. Opens connections of its own.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        let retries = RetryConfig::standard()
            .with_max_attempts(patience.attempts.max(1))
            .with_initial_backoff(patience.first_wait);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(patience.attempt).build();
        let s3 = self.s3.config().to_builder();
        let s3 = s3.retry_config(retries.clone()).timeout_config(timeouts.clone());
        let dynamo = self.dynamo.config().to_builder();
        let dynamo = dynamo.retry_config(retries).timeout_config(timeouts);
        self.s3 = aws_sdk_s3::Client::from_conf(s3.build());
        self.dynamo = aws_sdk_dynamodb::Client::from_conf(dynamo.build());
        self
    }
}
