//! The fates of snapshots: claims and notes held against the model.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use flambeau_layout::{
    ClaimRow, Fate, IdentityHash, KeyDate, ParkedKey, SnapshotKey, TenantId, UnixMillis,
};
use flambeau_store::Store;

use super::{
    check::Checked,
    model::{Accepted, Expected, Model},
};

/// Learns the fates that snapshots got since the last look, and only those:
/// each must be the one it must have.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn learn(store: &Store, model: &mut Model) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    let mut identities = model.identities();
    identities.retain(|identity, _| !model.fates.contains_key(identity));
    fates_of(store, model, identities, &mut checked).await?;
    Ok(checked)
}

/// Reads the claims; each snapshot has the fate it must have, and the one it
/// had before.
pub(super) async fn fates(
    store: &Store,
    model: &mut Model,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    fates_of(store, model, model.identities(), checked).await
}

async fn fates_of(
    store: &Store,
    model: &mut Model,
    identities: BTreeMap<IdentityHash, Vec<String>>,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let wanted: Vec<IdentityHash> = identities.keys().cloned().collect();
    let mut claims = store.claims_of(&wanted).await?;
    let mut seen = BTreeMap::new();
    for (identity, objects) in identities {
        let Some(claim) = claims.remove(&identity) else {
            let before = model.fates.get(&identity);
            ensure!(before.is_none(), "the fate of {objects:?} is gone: {before:?}");
            checked.queued += 1;
            continue;
        };
        ensure!(objects.contains(&claim.key), "{} claims {objects:?}", claim.key);
        // Given up for now: what is redriven gets another fate.
        if claim.is_replaceable() {
            ensure!(
                !model.fates.contains_key(&identity),
                "{} was given up after its fate",
                claim.key
            );
            checked.queued += 1;
            continue;
        }
        one_fate(&model.objects[&claim.key], &claim)?;
        match claim.fate {
            Fate::Block { .. } => checked.merged += 1,
            Fate::Parked { .. } => checked.parked += 1,
        }
        seen.insert(identity, (claim.fate, claim.key));
    }
    for (identity, fate) in seen {
        let known = model.fates.entry(identity).or_insert_with(|| fate.clone());
        ensure!(*known == fate, "a fate has changed from {known:?} to {fate:?}");
    }
    Ok(())
}

fn one_fate(accepted: &Accepted, claim: &ClaimRow) -> anyhow::Result<()> {
    let as_it_must = match (&claim.fate, &accepted.expected) {
        (Fate::Block { window, .. }, Expected::Merged { .. }) => accepted.window() == Some(*window),
        (Fate::Parked { reason, .. }, Expected::Parked { reason: expected }) => reason == expected,
        _ => false,
    };
    ensure!(as_it_must, "{claim:?} is not {:?} of {:?}", accepted.expected, accepted.window());
    Ok(())
}

/// What is parked has its note: whole objects, and single entries of those
/// that are merged.
pub(super) async fn notes(store: &Store, model: &Model) -> anyhow::Result<()> {
    let there: BTreeSet<String> = parked(store).await?.collect();
    let noted = |key: &SnapshotKey, source: String| {
        let tenant = key.identity.tenant.clone();
        let note = ParkedKey { tenant, date: key.date, source }.to_string();
        ensure!(there.contains(&note), "parked without a note: `{note}`");
        Ok(())
    };
    for (_, name) in model.fates.values() {
        let accepted = &model.objects[name];
        let Some(key) = &accepted.key else { continue };
        match &accepted.expected {
            Expected::Parked { .. } => noted(key, name.clone())?,
            Expected::Merged { bad_entries, .. } => {
                for entry in bad_entries {
                    noted(key, format!("{name}#{entry}"))?;
                }
            }
        }
    }
    Ok(())
}

/// What lies outside the layout has no claim, but its note.
pub(super) async fn strays_have_notes(store: &Store, model: &Model) -> anyhow::Result<()> {
    // The date in a note's key is the day of parking: any.
    let file = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let there: BTreeSet<String> = parked(store).await?.map(|key| file(&key)).collect();
    for (name, _) in model.objects.iter().filter(|(_, accepted)| accepted.key.is_none()) {
        let date = KeyDate::of(UnixMillis(0));
        let of = ParkedKey { tenant: "default".parse()?, date, source: name.clone() }.to_string();
        ensure!(there.contains(&file(&of)), "`{name}` lies outside the layout and has no note");
    }
    Ok(())
}

/// Keys of all parked notes.
async fn parked(store: &Store) -> anyhow::Result<impl Iterator<Item = String>> {
    let tenant: TenantId = "default".parse()?;
    let notes = store.list_all(&ParkedKey::prefix(&tenant)).await?;
    Ok(notes.into_iter().map(|note| note.key))
}
