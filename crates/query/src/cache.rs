//! Merged answers kept for a day under `results/`, by the pin that names them.

use bytes::Bytes;
use flambeau_layout::{TenantId, object::RESULTS};
use flambeau_profile::{DEFAULT_LEVEL, Limits};
use flambeau_store::{Store, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    fetch::fetch,
    pin::Pin,
    plan::{Plan, QueryError},
    view::Aggregate,
};

/// Plans that read fewer bytes than this are merged anew each time: a PUT costs
/// twelve GETs.
pub const CACHE_MIN_BYTES: u64 = 1 << 20;
/// Largest kept answer that is read back.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
const CONTENT_TYPE: &str = "application/octet-stream";

/// A merged profile, gzipped.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The pprof.
    pub bytes: Bytes,
    /// Where it is kept, when it is.
    pub key: Option<String>,
    /// Whether it was kept before.
    pub hit: bool,
}

/// The merged pprof of a plan: the kept one, or merged now and, when it took
/// reading [`CACHE_MIN_BYTES`] or is to be kept anyway, kept. Only render may write
/// results.
///
/// # Errors
/// As [`fetch`]; a result that cannot be kept is only logged.
pub async fn cached_or_fetch(
    store: &Store,
    plan: &Plan,
    aggregate: Aggregate,
    limits: &Limits,
    anyway: bool,
) -> Result<Answer, QueryError> {
    let merge = async || {
        let merged = plan.show(fetch(store, plan, limits).await?, aggregate);
        Ok::<_, QueryError>(merged.map_err(QueryError::Merge)?.encode_gzip(DEFAULT_LEVEL).into())
    };
    let worth = anyway || plan.bytes() >= CACHE_MIN_BYTES;
    let Some(tenant) = plan.blocks.first().map(|row| &row.tenant).filter(|_| worth) else {
        return Ok(Answer { bytes: merge().await?, key: None, hit: false });
    };
    let pin = plan.pin(aggregate);
    let key = key_of(tenant, pin);
    match kept(store, tenant, pin).await {
        Ok(Some(bytes)) => return Ok(Answer { bytes, key: Some(key), hit: true }),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "kept answer not readable; merging anew"),
    }
    let bytes: Bytes = merge().await?;
    let key = match store.put_new(&key, bytes.clone(), CONTENT_TYPE).await {
        Ok(_) => Some(key),
        Err(error) => {
            tracing::warn!(%error, "answer not kept");
            None
        }
    };
    Ok(Answer { bytes, key, hit: false })
}

/// The answer that once had this pin, if it is still kept: what a shared link saw,
/// though more has come since.
///
/// # Errors
/// When the store fails in any way but that there is none.
pub async fn kept(store: &Store, tenant: &TenantId, pin: Pin) -> Result<Option<Bytes>, StoreError> {
    match store.get(&key_of(tenant, pin), MAX_ANSWER_BYTES).await {
        Ok(got) => Ok(Some(got.bytes)),
        Err(error) if error.may_be_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps an answer that is too large to be sent through a function; the key.
///
/// # Errors
/// When it cannot be put.
pub async fn keep(store: &Store, tenant: &TenantId, bytes: &Bytes) -> Result<String, StoreError> {
    let hash = Sha256::digest(bytes);
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("{RESULTS}{}/of-{hex}.pb.gz", tenant.encoded());
    store.put_new(&key, bytes.clone(), CONTENT_TYPE).await?;
    Ok(key)
}

/// `results/{tenant}/{pin}.pb.gz`: a pin stays when blocks are rolled up, and so
/// does the answer.
fn key_of(tenant: &TenantId, pin: Pin) -> String {
    format!("{RESULTS}{}/{pin}.pb.gz", tenant.encoded())
}
