//! What the store tests share: servers on free ports, real AWS clients.
use aws_sdk_s3::error::ProvideErrorMetadata;
use flambeau_local::dirlock::DirLock;
use flambeau_local::loopback::Served;
use flambeau_local::s3::{ACCESS_KEY_ID, EmbeddedS3, Options, REGION, SECRET_ACCESS_KEY};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

pub(crate) const BUCKET: &str = "suite";

/// Names another server to run the S3 cases on.
pub(crate) const SUITE_URL: &str = "FLAMBEAU_S3_SUITE_URL";

/// A server for the S3 suite: ours, or the one named by
/// [`SUITE_URL`] (with the standard AWS key variables), to judge the suite
/// itself.
pub(crate) struct Rig {
    pub(crate) client: aws_sdk_s3::Client,
    pub(crate) url: String,
    pub(crate) bucket: String,
    pub(crate) s3: Option<EmbeddedS3>,
    pub(crate) dir: Option<tempfile::TempDir>,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        if let Ok(url) = std::env::var(SUITE_URL) {
            return Self::foreign(url).await;
        }
        let dir = tempfile::tempdir().unwrap();
        let (s3, served) = start(dir.path(), options).await;
        let url = served.url();
        s3.ensure_bucket(BUCKET).await.unwrap();
        Self { client: client(&url), url, bucket: BUCKET.to_owned(), s3: Some(s3), dir: Some(dir) }
    }

    async fn foreign(url: String) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("suite-{}-{number}", std::process::id());
        let client = client(&url);
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        Self { client, url, bucket, s3: None, dir: None }
    }

    /// Whether the server under test is ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.s3.is_some()
    }

    pub(crate) async fn put(&self, key: &str, body: &[u8]) -> String {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        let answer = put.body(body.to_vec().into()).send().await.unwrap();
        answer.e_tag.unwrap()
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let answer = get.send().await.map_err(|e| code(&e))?;
        Ok(answer.body.collect().await.unwrap().to_vec())
    }

    /// Body files in the store's directory.
    pub(crate) fn body_files(&self) -> usize {
        count_files(&self.dir.as_ref().unwrap().path().join("bodies"))
    }
}

pub(crate) fn count_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) async fn start(dir: &Path, options: Options) -> (EmbeddedS3, Served) {
    let s3 = EmbeddedS3::open(dir, options).unwrap();
    let served = s3.serve(listener().await).unwrap();
    (s3, served)
}

/// Waits until the connections' tasks have let go of a dropped store.
pub(crate) async fn close(s3: EmbeddedS3, dir: &Path) {
    drop(s3);
    wait_for_lock(dir).await;
}

pub(crate) async fn wait_for_lock(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = DirLock::acquire(dir) {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn client(url: &str) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(config(url).build())
}

pub(crate) fn config(url: &str) -> aws_sdk_s3::config::Builder {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    let var = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let foreign = std::env::var(SUITE_URL).is_ok();
    let (id, secret) = if foreign {
        (var("AWS_ACCESS_KEY_ID", "test"), var("AWS_SECRET_ACCESS_KEY", "test"))
    } else {
        (ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned())
    };
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new(id, secret, None, None, "tests"))
        .endpoint_url(url)
}

/// The S3 error code, or the whole error where there is none.
pub(crate) fn code<E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    error: &aws_sdk_s3::error::SdkError<E, R>,
) -> String {
    match error.code() {
        Some(code) => code.to_owned(),
        None => format!("{error:?}"),
    }
}

/// The HTTP status of a failed call, 0 where there was no answer.
pub(crate) fn status<E>(
    error: &aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> u16 {
    error.raw_response().map_or(0, |r| r.status().as_u16())
}

/// Bytes that differ by position and seed, so a torn mixture shows.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
