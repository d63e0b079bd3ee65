//! Claims: one item per snapshot that has met its fate.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put};
use flambeau_layout::{ClaimRow, IdentityHash};

use crate::{
    Store,
    error::{ErrorKind, StoreError},
    item::{self, Item},
    seam::Effect,
};

/// The claims table's key. Short names: DynamoDB reserves many longer ones.
pub const CLAIM_KEY: &str = "pk";
/// Items per BatchGetItem.
const MAX_BATCH: usize = 100;

/// Marks a claim that a redelivery may replace.
const REPLACEABLE: &str = "redo";

pub(crate) fn claim_item(claim: &ClaimRow) -> Result<Item, StoreError> {
    let mut item = HashMap::from([
        (CLAIM_KEY.to_owned(), item::text(claim.identity.as_str())),
        (item::EXPIRES.to_owned(), item::number(claim.expires_secs())),
        (item::DOC.to_owned(), item::doc(claim)?),
    ]);
    if claim.is_replaceable() {
        item.insert(REPLACEABLE.to_owned(), AttributeValue::Bool(true));
    }
    Ok(item)
}

/// A claim may be put where there is none, or one that may be replaced.
fn unclaimed() -> String {
    format!("attribute_not_exists({CLAIM_KEY}) OR attribute_exists({REPLACEABLE})")
}

impl Store {
    pub(crate) fn claim_put(&self, claim: &ClaimRow) -> Result<Put, StoreError> {
        let put = Put::builder()
            .table_name(&self.claims)
            .set_item(Some(claim_item(claim)?))
            .condition_expression(unclaimed())
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            );
        put.build().map_err(|error| StoreError::corrupt("write a claim", error))
    }

    /// Reads the claims of these snapshots, strongly consistent; those without
    /// a claim are absent from the answer.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn claims_of(
        &self,
        identities: &[IdentityHash],
    ) -> Result<HashMap<IdentityHash, ClaimRow>, StoreError> {
        let mut found = HashMap::with_capacity(identities.len());
        // DynamoDB refuses a batch that names one item twice.
        let mut wanted: Vec<IdentityHash> = identities.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        for batch in wanted.chunks(MAX_BATCH) {
            self.read_claims(batch, &mut found).await?;
        }
        Ok(found)
    }

    async fn read_claims(
        &self,
        batch: &[IdentityHash],
        found: &mut HashMap<IdentityHash, ClaimRow>,
    ) -> Result<(), StoreError> {
        let mut keys = KeysAndAttributes::builder().consistent_read(true);
        for identity in batch {
            let key = (CLAIM_KEY.to_owned(), item::text(identity.as_str()));
            keys = keys.keys(HashMap::from([key]));
        }
        let keys = keys.build().map_err(|error| StoreError::corrupt("read claims", error))?;
        let mut open = Some(HashMap::from([(self.claims.clone(), keys)]));
        // DynamoDB may answer a part and hand back the rest: ask again for that.
        while let Some(request) = open.take().filter(|request| !request.is_empty()) {
            let answer = self.dynamo.batch_get_item().set_request_items(Some(request)).send();
            let answer = answer.await.map_err(|error| StoreError::sdk("read claims", error))?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                let claim: ClaimRow = item::read_doc(&item)?;
                found.insert(claim.identity.clone(), claim);
            }
            open = answer.unprocessed_keys;
        }
        Ok(())
    }

    /// Records the fate of a snapshot that stands in no block, unless it has
    /// one already; answers the fate that holds.
    ///
    /// # Errors
    /// When DynamoDB refuses or cannot be reached.
    pub async fn claim(&self, claim: &ClaimRow) -> Result<ClaimRow, StoreError> {
        let effect = Effect::PutClaim(claim.identity.to_string());
        self.through(effect, || self.try_claim(claim)).await
    }

    async fn try_claim(&self, claim: &ClaimRow) -> Result<ClaimRow, StoreError> {
        use aws_sdk_dynamodb::{
            error::SdkError, operation::put_item::PutItemError,
            types::ReturnValuesOnConditionCheckFailure,
        };
        let doing = || format!("claim snapshot `{}`", claim.key);
        let put = self.dynamo.put_item().table_name(&self.claims);
        let put = put
            .set_item(Some(claim_item(claim)?))
            .condition_expression(unclaimed())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(claim.clone()),
            Err(SdkError::ServiceError(error)) if is_condition(error.err()) => {
                let PutItemError::ConditionalCheckFailedException(failed) = error.into_err() else {
                    return Err(StoreError::new(ErrorKind::Conflict, doing(), "claimed"));
                };
                old_claim(failed.item()).ok_or_else(|| {
                    StoreError::new(
                        ErrorKind::Conflict,
                        doing(),
                        "the claim in the way is unreadable",
                    )
                })
            }
            Err(error) => Err(StoreError::sdk(doing(), error)),
        }
    }
}

fn is_condition(error: &aws_sdk_dynamodb::operation::put_item::PutItemError) -> bool {
    error.is_conditional_check_failed_exception()
}

pub(crate) fn old_claim(item: Option<&HashMap<String, AttributeValue>>) -> Option<ClaimRow> {
    item.and_then(|item| item::read_doc(item).ok())
}
