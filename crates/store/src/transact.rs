//! One DynamoDB transaction: sent, read why it was cancelled, tried again while
//! others hold its items.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};

use crate::{
    Store,
    error::{ErrorKind, StoreError},
};

/// Most items one DynamoDB transaction holds.
pub const MAX_TRANSACTION_ITEMS: usize = 100;

/// Attempts of one transaction when others hold its items.
const MAX_ATTEMPTS: u32 = 8;

/// How sending a transaction ended, when it did.
pub(crate) enum Sent {
    /// All its items are written, by this or an earlier attempt of its token.
    Written,
    /// None is; one reason per item, in their order.
    Cancelled(Vec<CancellationReason>),
}

impl Store {
    /// Sends a transaction until `decide` can tell how it ended. Conflicts and
    /// throttling decide nothing and are tried again, unchanged and under the
    /// same token.
    pub(crate) async fn transact<T>(
        &self,
        doing: &'static str,
        token: &str,
        items: Vec<TransactWriteItem>,
        decide: impl Fn(Sent) -> Result<T, Undecided>,
    ) -> Result<T, StoreError> {
        let mut attempt = 0;
        loop {
            let sent = self.send(doing, token, items.clone()).await;
            let ended =
                sent.and_then(|sent| decide(sent).map_err(|Undecided(why)| refused(doing, &why)));
            match ended {
                Err(error) if error.is_transient() && attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(backoff(attempt, token)).await;
                }
                ended => return ended,
            }
        }
    }

    async fn send(
        &self,
        doing: &'static str,
        token: &str,
        items: Vec<TransactWriteItem>,
    ) -> Result<Sent, StoreError> {
        let request = self.dynamo.transact_write_items().set_transact_items(Some(items));
        let Err(error) = request.client_request_token(token).send().await else {
            return Ok(Sent::Written);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                Ok(Sent::Cancelled(canceled.cancellation_reasons().to_vec()))
            }
            _ => Err(StoreError::sdk(doing, error)),
        }
    }
}

/// Reasons that say nothing about what stands in the table.
#[derive(Debug)]
pub(crate) struct Undecided(pub(crate) Vec<CancellationReason>);

/// Whether the item's condition did not hold.
pub(crate) fn condition_failed(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// The error of a cancelled transaction: passing when somebody else was at its
/// items.
fn refused(doing: &'static str, reasons: &[CancellationReason]) -> StoreError {
    let passing = |reason: &CancellationReason| {
        matches!(
            reason.code(),
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
        )
    };
    let kind = match reasons.iter().any(passing) {
        true => ErrorKind::Conflict,
        false => ErrorKind::Rejected,
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for code in reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None") {
        *counts.entry(code).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(code, n)| format!("{n} × {code}")).collect();
    StoreError::new(kind, doing, format!("transaction cancelled ({})", parts.join(", ")))
}

/// Doubling waits from 25 ms to 1.6 s. Spread by the token, so that two
/// writers that met do not meet again.
fn backoff(attempt: u32, token: &str) -> Duration {
    let spread = token
        .bytes()
        .fold(u64::from(attempt), |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let base = 25_u64 << attempt.min(7).saturating_sub(1);
    Duration::from_millis(base / 2 + spread % base.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    #[test]
    fn only_others_at_its_items_pass() {
        let error = refused("commit", &[reason("None"), reason("TransactionConflict")]);
        assert!(error.is_transient(), "{error}");
        assert!(!refused("commit", &[reason("ValidationError")]).is_transient());
    }

    #[test]
    fn waits_grow_and_differ() {
        assert!(backoff(7, "a") > backoff(1, "a"));
        assert_ne!(backoff(3, "a"), backoff(3, "b"));
    }
}
