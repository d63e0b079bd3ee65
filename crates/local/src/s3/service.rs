//! The S3 operations this server knows, and its way onto HTTP. Every other
//! operation answers `NotImplemented`, by the protocol crate's default.

use super::catalog::{self, seconds, time_of_seconds};
use super::error::Fault;
use super::put::no_such_bucket;
use super::store::Store;
use super::{REGION, copy, delete, get, list, multipart, put};
use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use jiff::fmt::rfc2822::DateTimePrinter;
use rusqlite::OptionalExtension;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, S3ConfigProvider};
use s3s::dto::*;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;
use std::time::SystemTime;

/// The server as an axum application.
pub(super) fn router(store: Arc<Store>, access_key: &str, secret_key: &str) -> Router {
    let mut builder = S3ServiceBuilder::new(Service(Arc::clone(&store)));
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.set_host(UnderLocalhost);
    builder.set_config(Arc::new(SkewFollows(Arc::clone(&store))));
    let service = HandleError::new(builder.build(), |error| async move {
        tracing::error!(?error, "S3 protocol failure");
        StatusCode::INTERNAL_SERVER_ERROR
    });
    Router::new().fallback_service(service).layer(from_fn_with_state(store, tell_time))
}

/// `Date` by the store's clock, so clients see one clock everywhere.
async fn tell_time(State(store): State<Arc<Store>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let date = jiff::Timestamp::try_from(store.now())
        .and_then(|now| DateTimePrinter::new().timestamp_to_rfc9110_string(&now));
    if let Ok(date) = date
        && let Ok(date) = HeaderValue::from_str(&date)
    {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// SDKs sign by the server's clock once they have seen it; the protocol crate
/// checks against the system's. So what it tolerates grows by the difference.
struct SkewFollows(Arc<Store>);

impl S3ConfigProvider for SkewFollows {
    fn snapshot(&self) -> Arc<S3Config> {
        let difference = seconds(self.0.now()).abs_diff(seconds(SystemTime::now()));
        let difference = u32::try_from(difference).unwrap_or(u32::MAX);
        let mut config = S3Config::default();
        let tolerated = &mut config.presigned_url_max_skew_time_secs;
        *tolerated = tolerated.saturating_add(difference);
        Arc::new(config)
    }
}

/// `bucket.localhost:port` names the bucket; SDKs ask so unless told to put
/// it in the path, or given a numeric address.
struct UnderLocalhost;

impl S3Host for UnderLocalhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.split(':').next().unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name);
        Ok(match name.strip_suffix(".localhost") {
            Some(bucket) => VirtualHost::new("localhost").with_bucket(bucket),
            None => VirtualHost::new(name),
        })
    }
}

/// Creates a bucket; tells whether it is new.
pub(super) async fn ensure_bucket(store: &Store, name: &str) -> Result<bool, Fault> {
    if !s3s::path::check_bucket_name(name) {
        return Err(s3_error!(InvalidBucketName, "`{name}` is not a bucket name").into());
    }
    let (name, created) = (name.to_owned(), seconds(store.now()));
    let job = move |batch: &mut super::writer::Batch<'_>| {
        let rows = batch.conn.execute(
            "INSERT OR IGNORE INTO buckets (name, created) VALUES (?1, ?2)",
            (name, created),
        )?;
        Ok(rows == 1)
    };
    store.writer.commit(job).await
}

async fn delete_bucket(store: &Store, name: String) -> Result<(), Fault> {
    let job = move |batch: &mut super::writer::Batch<'_>| {
        if !catalog::has_bucket(batch.conn, &name)? {
            return Err(no_such_bucket(&name).into());
        }
        let used = "SELECT 1 FROM objects WHERE bucket = ?1
                    UNION ALL SELECT 1 FROM uploads WHERE bucket = ?1 LIMIT 1";
        if batch.conn.prepare(used)?.exists([&name])? {
            return Err(s3_error!(BucketNotEmpty, "delete its objects and uploads first").into());
        }
        batch.conn.execute("DELETE FROM buckets WHERE name = ?1", [&name])?;
        Ok(())
    };
    store.writer.commit(job).await
}

async fn list_buckets(store: &Store) -> Result<Vec<Bucket>, Fault> {
    let query = |conn: &rusqlite::Connection| {
        let mut select = conn.prepare("SELECT name, created FROM buckets ORDER BY name")?;
        let buckets = select.query_map([], |row| {
            Ok(Bucket {
                name: row.get(0)?,
                creation_date: Some(Timestamp::from(time_of_seconds(row.get(1)?))),
                ..Default::default()
            })
        })?;
        buckets.collect::<rusqlite::Result<_>>()
    };
    store.read(move |conn| Ok(query(conn)?)).await
}

async fn find_bucket(store: &Store, name: String) -> Result<(), Fault> {
    let query = move |conn: &rusqlite::Connection| {
        let found: Option<i64> = conn
            .query_row("SELECT created FROM buckets WHERE name = ?1", [&name], |row| row.get(0))
            .optional()?;
        found.map(|_| ()).ok_or_else(|| no_such_bucket(&name).into())
    };
    store.read(query).await
}

struct Service(Arc<Store>);

type Reply<T> = S3Result<S3Response<T>>;

fn reply<T>(result: Result<T, Fault>) -> Reply<T> {
    Ok(S3Response::new(result?))
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Reply<PutObjectOutput> {
        reply(put::put_object(&self.0, req).await)
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Reply<GetObjectOutput> {
        reply(get::get_object(&self.0, req.input).await)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Reply<HeadObjectOutput> {
        reply(get::head_object(&self.0, req.input).await)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Reply<DeleteObjectOutput> {
        reply(delete::delete_object(&self.0, req.input).await)
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> Reply<DeleteObjectsOutput> {
        reply(delete::delete_objects(&self.0, req.input).await)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> Reply<ListObjectsV2Output> {
        reply(list::list_objects_v2(&self.0, req.input).await)
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Reply<ListObjectsOutput> {
        reply(list::list_objects(&self.0, req.input).await)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Reply<CopyObjectOutput> {
        reply(copy::copy_object(&self.0, req.input).await)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Reply<CreateMultipartUploadOutput> {
        reply(multipart::create(&self.0, req.input).await)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Reply<UploadPartOutput> {
        reply(multipart::upload_part(&self.0, req).await)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Reply<CompleteMultipartUploadOutput> {
        reply(multipart::complete(&self.0, req.input).await)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Reply<AbortMultipartUploadOutput> {
        reply(multipart::abort(&self.0, req.input).await)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Reply<ListPartsOutput> {
        reply(multipart::list_parts(&self.0, req.input).await)
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Reply<CreateBucketOutput> {
        let bucket = req.input.bucket;
        if !ensure_bucket(&self.0, &bucket).await? {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "`{bucket}` exists"));
        }
        reply(Ok(CreateBucketOutput { location: Some(format!("/{bucket}")) }))
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Reply<DeleteBucketOutput> {
        delete_bucket(&self.0, req.input.bucket).await?;
        reply(Ok(DeleteBucketOutput {}))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Reply<HeadBucketOutput> {
        find_bucket(&self.0, req.input.bucket).await?;
        reply(Ok(HeadBucketOutput { bucket_region: Some(REGION.to_owned()), ..Default::default() }))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Reply<ListBucketsOutput> {
        let buckets = list_buckets(&self.0).await?;
        reply(Ok(ListBucketsOutput { buckets: Some(buckets), ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Reply<GetBucketLocationOutput> {
        find_bucket(&self.0, req.input.bucket).await?;
        // No constraint stands for us-east-1.
        reply(Ok(GetBucketLocationOutput::default()))
    }
}
