//! Snapshots into an S3 bucket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, DisplayErrorContext, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use bytes::Bytes;
use flambeau_layout::{UnixMillis, steering::MAX_STEERING_BYTES};
use tokio::sync::OnceCell;

use crate::sink::{PutFuture, Receipt, Sink, SinkError, SteeringFuture, clock_offset};

/// Writes each snapshot once (`If-None-Match: *`), with the standard AWS configuration.
///
/// The client is made at the first write, not at the function's init. It makes no retries of
/// its own: the profiler does, knowing how much time there is.
pub struct S3Sink {
    bucket: String,
    client: OnceCell<Client>,
}

impl S3Sink {
    /// Writes into `bucket`. The function's role needs `s3:PutObject` on
    /// `snapshots/{tenant}/{service}/*` in it, and nothing else.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), client: OnceCell::new() }
    }

    /// As [`S3Sink::new`], over a client that the host has already.
    pub fn with_client(bucket: impl Into<String>, client: Client) -> Self {
        Self { bucket: bucket.into(), client: OnceCell::new_with(Some(client)) }
    }

    async fn put_object(&self, key: &str, bytes: Bytes) -> Result<Receipt, SinkError> {
        let client = self.client.get_or_init(client_from_environment).await;
        let date = DateSeen::default();
        let sent = now();
        let answer = client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type("application/vnd.google.protobuf+gzip")
            .body(ByteStream::from(bytes))
            .customize()
            .interceptor(date.clone())
            .send()
            .await;
        let offset_millis = date.get().map(|server| clock_offset(server, sent, now()));
        match answer {
            Ok(_) => Ok(Receipt { already_there: false, offset_millis }),
            Err(error) if status(&error) == Some(412) => {
                Ok(Receipt { already_there: true, offset_millis })
            }
            Err(error) => Err(classify(&error)),
        }
    }
}

impl S3Sink {
    /// One GET. What is not there, not allowed or too long to be it is nothing.
    async fn get_steering(&self, key: &str) -> Result<Option<Bytes>, SinkError> {
        let client = self.client.get_or_init(client_from_environment).await;
        let range = format!("bytes=0-{MAX_STEERING_BYTES}");
        let get = client.get_object().bucket(&self.bucket).key(key).range(range);
        let output = match get.send().await {
            Ok(output) => output,
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                return match status {
                    Some(403 | 404) => Ok(None),
                    _ => Err(SinkError::Unreachable(DisplayErrorContext(&error).to_string())),
                };
            }
        };
        let read = output.body.collect().await;
        let bytes = read.map_err(|error| SinkError::Unreachable(error.to_string()))?.into_bytes();
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_STEERING_BYTES))
    }
}

impl Sink for S3Sink {
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> PutFuture<'a> {
        Box::pin(self.put_object(key, bytes))
    }

    fn steering<'a>(&'a self, key: &'a str) -> SteeringFuture<'a> {
        Box::pin(self.get_steering(key))
    }
}

async fn client_from_environment() -> Client {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    let shared = loader.retry_config(RetryConfig::disabled()).load().await;
    let own_endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    // A server of one's own has no name per bucket.
    let path_style = own_endpoint.iter().any(|name| std::env::var_os(name).is_some());
    let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(path_style);
    Client::from_conf(config.build())
}

fn status(error: &SdkError<PutObjectError>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What the server refuses it will refuse again, except when it is busy, in a race with another
/// writer of the same key (409), or our clock or session is off.
fn classify(error: &SdkError<PutObjectError>) -> SinkError {
    let text = DisplayErrorContext(error).to_string();
    match status(error) {
        Some(408 | 409 | 429) | Some(500..) | None => SinkError::Unreachable(text),
        Some(_) => SinkError::Refused(text),
    }
}

/// Notes the `Date` header of the answer, in milliseconds since the epoch.
#[derive(Debug, Clone, Default)]
struct DateSeen(Arc<Mutex<Option<i64>>>);

impl DateSeen {
    fn get(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for DateSeen {
    fn name(&self) -> &'static str {
        "flambeau-date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let header = context.response().headers().get("date");
        let date = header.and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            date.and_then(|date| date.to_millis().ok());
        Ok(())
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
