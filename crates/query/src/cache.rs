//! Merged answers kept for a day under `results/`: blocks never change, so the
//! set of them names the answer.

use bytes::Bytes;
use flambeau_layout::{FORMAT_VERSION, object::RESULTS};
use flambeau_profile::{DEFAULT_LEVEL, Limits};
use flambeau_store::Store;
use sha2::{Digest, Sha256};

use crate::{
    fetch::fetch,
    plan::{Plan, QueryError},
    view::Aggregate,
};

/// Plans that read fewer bytes than this are merged anew each time: a PUT costs
/// twelve GETs.
pub const CACHE_MIN_BYTES: u64 = 1 << 20;
/// Largest kept answer that is read back.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

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
/// reading [`CACHE_MIN_BYTES`], kept. Only render may write results.
///
/// # Errors
/// As [`fetch`]; a result that cannot be kept is only logged.
pub async fn cached_or_fetch(
    store: &Store,
    plan: &Plan,
    aggregate: Aggregate,
    limits: &Limits,
) -> Result<Answer, QueryError> {
    let merge = async || {
        let merged = plan.show(fetch(store, plan, limits).await?, aggregate);
        Ok::<_, QueryError>(merged.map_err(QueryError::Merge)?.encode_gzip(DEFAULT_LEVEL).into())
    };
    let Some(key) = key_of(plan, aggregate).filter(|_| plan.bytes() >= CACHE_MIN_BYTES) else {
        return Ok(Answer { bytes: merge().await?, key: None, hit: false });
    };
    match store.get(&key, MAX_ANSWER_BYTES).await {
        Ok(got) => return Ok(Answer { bytes: got.bytes, key: Some(key), hit: true }),
        Err(error) if error.may_be_missing() => {}
        Err(error) => tracing::warn!(%error, "kept answer not readable; merging anew"),
    }
    let bytes: Bytes = merge().await?;
    let key = match store.put_new(&key, bytes.clone(), "application/octet-stream").await {
        Ok(_) => Some(key),
        Err(error) => {
            tracing::warn!(%error, "answer not kept");
            None
        }
    };
    Ok(Answer { bytes, key, hit: false })
}

/// `results/{tenant}/{hash}.pb.gz`, the hash over type, blocks and what showing
/// them divides.
fn key_of(plan: &Plan, aggregate: Aggregate) -> Option<String> {
    let tenant = &plan.blocks.first()?.tenant;
    let mut blocks: Vec<&str> = plan.parts().map(|(row, _)| row.block.as_str()).collect();
    blocks.sort_unstable();
    let mut sha = Sha256::new();
    sha.update(format!("{FORMAT_VERSION}/{}/{}/", env!("CARGO_PKG_VERSION"), plan.typ.encoded()));
    sha.update(blocks.join("/"));
    if plan.divides(aggregate) {
        sha.update("/mean");
    }
    let hash = sha.finalize();
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{RESULTS}{}/{hex}.pb.gz", tenant.encoded()))
}
