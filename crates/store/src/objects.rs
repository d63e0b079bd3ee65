//! Objects: bounded reads, writes that never replace.

use std::time::Duration;

use aws_sdk_s3::{
    error::DisplayErrorContext, operation::get_object::GetObjectOutput,
    presigning::PresigningConfig, primitives::ByteStream,
};
use bytes::Bytes;
use flambeau_layout::{ObjectRange, UnixMillis};

use crate::{
    Store,
    error::{ErrorKind, StoreError},
    seam::Effect,
};

/// How a put that must not replace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// An object with this key was there before and stays as it is.
    AlreadyThere,
}

/// An object as read.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its bytes.
    pub bytes: Bytes,
    /// When S3 took it.
    pub modified: UnixMillis,
}

/// An object as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When S3 took it.
    pub modified: UnixMillis,
}

/// One page of a listing, in the order of keys.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The objects.
    pub objects: Vec<ObjectInfo>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// Puts an object unless one with this key exists.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn put_new(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
    ) -> Result<Put, StoreError> {
        let run = || self.try_put_new(key, bytes.clone(), content_type);
        self.through(Effect::PutObject(key.to_owned()), run).await
    }

    async fn try_put_new(&self, key: &str, bytes: Bytes, typ: &str) -> Result<Put, StoreError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        let put = put.content_type(typ).body(ByteStream::from(bytes));
        match put.send().await {
            Ok(_) => Ok(Put::Created),
            Err(error) if status(&error) == Some(412) => Ok(Put::AlreadyThere),
            Err(error) => Err(StoreError::sdk(format!("put object `{key}`"), error)),
        }
    }

    /// Puts an object, replacing one with this key: for notes whose content is
    /// a function of their key.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn put_again(&self, key: &str, bytes: Bytes, typ: &str) -> Result<(), StoreError> {
        let run = || async {
            let put = self.s3.put_object().bucket(&self.bucket).key(key).content_type(typ);
            let put = put.body(ByteStream::from(bytes.clone())).send().await;
            put.map(drop).map_err(|error| StoreError::sdk(format!("put object `{key}`"), error))
        };
        self.through(Effect::PutObject(key.to_owned()), run).await
    }

    /// Reads a whole object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::TooLarge`]
    /// before anything beyond the limit is read.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Got, StoreError> {
        if let Some(got) = self.read_near(key, None, limit).await {
            return Ok(got);
        }
        let doing = || format!("read object `{key}`");
        let request = self.s3.get_object().bucket(&self.bucket).key(key).send();
        let output = request.await.map_err(|error| StoreError::sdk(doing(), error))?;
        let size = output.content_length().unwrap_or(0).unsigned_abs();
        if size > limit {
            let detail = format!("it has {size} bytes, more than the {limit} allowed");
            return Err(StoreError::new(ErrorKind::TooLarge, doing(), detail));
        }
        let modified = modified_of(&output);
        Ok(Got { bytes: body_of(output, doing).await?, modified })
    }

    /// Reads a part of an object.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Corrupt`] when
    /// it ends before the part does.
    pub async fn get_range(&self, at: &ObjectRange) -> Result<Bytes, StoreError> {
        let ObjectRange { key, offset, len } = at;
        if let Some(got) = self.read_near(key, Some((*offset, *len)), u64::MAX).await {
            return Ok(got.bytes);
        }
        let last = offset.saturating_add(*len).saturating_sub(1);
        let doing = || format!("read bytes {offset}-{last} of object `{key}`");
        let request = self.s3.get_object().bucket(&self.bucket).key(key);
        let request = request.range(format!("bytes={offset}-{last}")).send();
        let output = request.await.map_err(|error| StoreError::sdk(doing(), error))?;
        let bytes = body_of(output, doing).await?;
        if bytes.len() as u64 != *len {
            let detail = format!("{} bytes came instead of {len}", bytes.len());
            return Err(StoreError::new(ErrorKind::Corrupt, doing(), detail));
        }
        Ok(bytes)
    }

    /// A link to an object that whoever holds it can follow for `valid`, or
    /// until the credentials it is signed with end; the answer is to be saved as
    /// `file_name`. Nothing is sent, so the object may not be there.
    ///
    /// # Errors
    /// When there are no credentials to sign with.
    pub async fn presigned(
        &self,
        key: &str,
        file_name: &str,
        valid: Duration,
    ) -> Result<String, StoreError> {
        let refused = |error: String| {
            StoreError::new(ErrorKind::Rejected, format!("sign a link to `{key}`"), error)
        };
        let config = PresigningConfig::expires_in(valid).map_err(|e| refused(e.to_string()))?;
        let get = self.s3.get_object().bucket(&self.bucket).key(key);
        let get = get.response_content_disposition(format!("attachment; filename=\"{file_name}\""));
        let signed = get.presigned(config).await;
        let signed = signed.map_err(|error| refused(DisplayErrorContext(error).to_string()))?;
        Ok(signed.uri().to_owned())
    }

    /// The size of an object; `None` when there is none. One HEAD.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn size_of(&self, key: &str) -> Result<Option<u64>, StoreError> {
        match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(head.content_length().unwrap_or(0).unsigned_abs())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(StoreError::sdk(format!("look at object `{key}`"), error)),
        }
    }

    /// Lists up to 1000 objects below `prefix`, from the `next` of the page
    /// before.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page, StoreError> {
        let request = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let request = request.set_continuation_token(next.map(str::to_owned)).send();
        let doing = || format!("list objects below `{prefix}`");
        let output = request.await.map_err(|error| StoreError::sdk(doing(), error))?;
        let objects = output.contents().iter().filter_map(|object| {
            Some(ObjectInfo {
                key: object.key()?.to_owned(),
                size: object.size().unwrap_or(0).unsigned_abs(),
                modified: millis(object.last_modified()),
            })
        });
        Ok(Page {
            objects: objects.collect(),
            next: output.next_continuation_token().map(str::to_owned),
        })
    }

    /// Lists everything below `prefix`; costs one request per 1000 objects and
    /// memory for all of them.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn list_all(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut page = self.list(prefix, None).await?;
        let mut objects = std::mem::take(&mut page.objects);
        while let Some(next) = page.next {
            page = self.list(prefix, Some(&next)).await?;
            objects.append(&mut page.objects);
        }
        Ok(objects)
    }

    /// The names of the folders directly below `prefix`, as they stand in keys.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let (mut folders, mut next) = (Vec::new(), None);
        loop {
            let request = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let request = request.delimiter("/").set_continuation_token(next).send();
            let doing = || format!("list folders below `{prefix}`");
            let output = request.await.map_err(|error| StoreError::sdk(doing(), error))?;
            let found = output.common_prefixes().iter().filter_map(|folder| folder.prefix());
            let name =
                |folder: &str| Some(folder.strip_prefix(prefix)?.strip_suffix('/')?.to_owned());
            folders.extend(found.filter_map(name));
            next = output.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                return Ok(folders);
            }
        }
    }

    /// Deletes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When S3 refuses or cannot be reached.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let run = || async {
            let delete = self.s3.delete_object().bucket(&self.bucket).key(key).send().await;
            let doing = || format!("delete object `{key}`");
            delete.map(drop).map_err(|error| StoreError::sdk(doing(), error))
        };
        self.through(Effect::DeleteObject(key.to_owned()), run).await
    }
}

fn status<E>(error: &aws_sdk_s3::error::SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn millis(time: Option<&aws_sdk_s3::primitives::DateTime>) -> UnixMillis {
    UnixMillis(time.and_then(|time| time.to_millis().ok()).unwrap_or(0))
}

fn modified_of(output: &GetObjectOutput) -> UnixMillis {
    millis(output.last_modified())
}

async fn body_of(output: GetObjectOutput, doing: impl Fn() -> String) -> Result<Bytes, StoreError> {
    let body = output.body.collect().await;
    let broken = |error| StoreError::new(ErrorKind::Unavailable, doing(), format!("{error}"));
    Ok(body.map_err(broken)?.into_bytes())
}
