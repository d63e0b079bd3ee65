//! Reading from within the process, for [`flambeau_store`]: the same row and
//! the same body file that a GET would answer from.

use super::catalog;
use super::error::Fault;
use super::store::{Store, blocking};
use flambeau_layout::UnixMillis;
use flambeau_store::{Got, NearObjects, NearRead};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Weak;

/// The objects of one bucket. Holding it does not keep the store open.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) store: Weak<Store>,
    pub(super) bucket: String,
}

impl NearObjects for Near {
    fn read<'a>(&'a self, key: &'a str, part: Option<(u64, u64)>, limit: u64) -> NearRead<'a> {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        Box::pin(async move {
            let store = self.store.upgrade()?;
            let read = blocking(move || read(&store, &bucket, &key, part, limit)).await;
            // Whatever it was, asking over HTTP will tell it.
            read.unwrap_or(None)
        })
    }
}

fn read(
    store: &Store,
    bucket: &str,
    key: &str,
    part: Option<(u64, u64)>,
    limit: u64,
) -> Result<Option<Got>, Fault> {
    let Some(row) = store.readers.read(|conn| catalog::object(conn, bucket, key))? else {
        return Ok(None);
    };
    let (offset, length) = part.unwrap_or((0, row.size));
    let is_within = offset.checked_add(length).is_some_and(|end| end <= row.size);
    if !is_within || length > limit {
        return Ok(None);
    }
    let bytes = read_part(&store.bodies.read(row.body)?, offset, length)?;
    let modified = UnixMillis(row.modified.saturating_mul(1000));
    Ok(Some(Got { bytes: bytes.into(), modified }))
}

fn read_part(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
