//! The store held against the model.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use flambeau_layout::{
    BlockId, ClaimRow, Fate, IdentityHash, KeyDate, Level, Note, ParkedKey, ProfileType, RowState,
    ServiceName, SnapshotKey, TenantId, UnixMillis, Window,
};
use flambeau_profile::{Limits, Merged};
use flambeau_query::{Plan, QueryError, Range, Selection, fetch, plan};
use flambeau_store::{ErrorKind, IndexedRow, Store};

use super::model::{Accepted, Expected, Leaves, Model};

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Snapshots in blocks.
    pub merged: usize,
    /// Snapshots parked.
    pub parked: usize,
    /// Snapshots without a fate: still queued.
    pub queued: usize,
    /// Answers compared, each by rows and by its merged profile.
    pub answers: usize,
    /// Level-0 blocks whose covers were read.
    pub blocks: usize,
}

/// Compares all there is: fates, notes of parked ones, covers of blocks, and
/// the answers for each service and type, over everything and window by window.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check(store: &Store, model: &mut Model) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    fates(store, model, &mut checked).await?;
    notes(store, model).await?;
    for service in services(model) {
        checked.blocks += covers(store, model, &service).await?;
    }
    for (service, typ) in model.asked() {
        check_range(store, model, (&service, &typ), Range::all()).await?;
        checked.answers += 1;
        for window in some(model.windows(&service)) {
            let range = Range { from: window.start, until: window.end() };
            check_range(store, model, (&service, &typ), range).await?;
            checked.answers += 1;
        }
    }
    Ok(checked)
}

/// Windows compared one by one, per service and type.
const MAX_WINDOWS: usize = 6;

/// All windows, or [`MAX_WINDOWS`] of many, spread evenly.
fn some(windows: BTreeSet<Window>) -> impl Iterator<Item = Window> {
    let apart = windows.len().div_ceil(MAX_WINDOWS).max(1);
    windows.into_iter().step_by(apart)
}

/// As [`check`], after everything was delivered: nothing may be left queued,
/// and what lies outside the layout has its note.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check_settled(store: &Store, model: &mut Model) -> anyhow::Result<Checked> {
    let checked = check(store, model).await?;
    ensure!(checked.queued == 0, "without a fate: {:?}", model.queued());
    let notes = store.list_all("parked/default/").await?;
    for (name, _) in model.objects.iter().filter(|(_, accepted)| accepted.key.is_none()) {
        let date = KeyDate::of(UnixMillis(0));
        let of = ParkedKey { tenant: "default".parse()?, date, source: name.clone() }.to_string();
        // Its date is the day of parking: any.
        let file = of.rsplit('/').next().unwrap_or_default();
        let noted = notes.iter().any(|note| note.key.rsplit('/').next() == Some(file));
        ensure!(noted, "`{name}` lies outside the layout and has no note");
    }
    Ok(checked)
}

fn services(model: &Model) -> BTreeSet<ServiceName> {
    model.asked().into_iter().map(|(service, _)| service).collect()
}

/// Reads the claims; each snapshot has the fate it must have, and the one it
/// had before.
async fn fates(store: &Store, model: &mut Model, checked: &mut Checked) -> anyhow::Result<()> {
    fates_of(store, model, model.identities(), checked).await
}

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
async fn notes(store: &Store, model: &Model) -> anyhow::Result<()> {
    for (fate, name) in model.fates.values() {
        let accepted = &model.objects[name];
        let Some(key) = &accepted.key else { continue };
        match (&accepted.expected, fate) {
            (Expected::Parked { .. }, _) => noted(store, key, name.clone()).await?,
            (Expected::Merged { bad_entries, .. }, _) => {
                for entry in bad_entries {
                    noted(store, key, format!("{name}#{entry}")).await?;
                }
            }
        }
    }
    Ok(())
}

async fn noted(store: &Store, key: &SnapshotKey, source: String) -> anyhow::Result<()> {
    let tenant = key.identity.tenant.clone();
    let note = ParkedKey { tenant, date: key.date, source }.to_string();
    match store.get(&note, 1 << 20).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("parked without a note: `{note}`")
        }
        Err(error) => Err(error.into()),
    }
}

/// Each merged snapshot is covered by exactly one level-0 block, the one its
/// claim names; answers how many blocks there are.
async fn covers(store: &Store, model: &Model, service: &ServiceName) -> anyhow::Result<usize> {
    let tenant: TenantId = "default".parse()?;
    let mut covered: BTreeMap<IdentityHash, BlockId> = BTreeMap::new();
    let rows = level_0(store, &tenant, service).await?;
    for row in rows.values() {
        for identity in covers_of(store, row).await? {
            let block = row.row.block.clone();
            let before = covered.insert(identity.clone(), block.clone());
            ensure!(before.is_none(), "snapshot {identity} is in {block} and in {before:?}");
        }
    }
    for (identity, (fate, name)) in &model.fates {
        let ours = model.objects[name].key.as_ref();
        if ours.is_some_and(|key| key.identity.service != *service) {
            continue;
        }
        let block = match fate {
            Fate::Block { block, .. } => Some(block),
            Fate::Parked { .. } => None,
        };
        let held = covered.remove(identity);
        ensure!(held.as_ref() == block, "`{name}` claims {block:?} and is in {held:?}");
    }
    ensure!(covered.is_empty(), "in a block without a claim: {covered:?}");
    Ok(rows.len())
}

async fn level_0(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
) -> anyhow::Result<BTreeMap<BlockId, IndexedRow>> {
    let all = Range::all();
    let mut rows = BTreeMap::new();
    for state in [RowState::Open, RowState::Done] {
        let range = (all.from, all.until);
        let found = store.rows(tenant, service, state, Level::Minute, range).await?;
        let made_of_snapshots = found.into_iter().filter(|row| row.row.children.is_empty());
        rows.extend(made_of_snapshots.map(|row| (row.row.block.clone(), row)));
    }
    Ok(rows)
}

async fn covers_of(store: &Store, row: &IndexedRow) -> anyhow::Result<Vec<IdentityHash>> {
    let mut covers: Option<Vec<IdentityHash>> = None;
    for part in &row.row.parts {
        let bytes = store.get_range(&part.at).await?;
        let profile = Merged::from_bytes(&bytes, &Limits::default())?;
        let comments = profile.header().comments.iter().map(String::as_str);
        let Some(Note::Block(note)) = Note::find(comments)? else {
            anyhow::bail!("block {} has no note in it", row.row.block)
        };
        let same = covers.as_ref().is_none_or(|covers| *covers == note.covers);
        ensure!(same, "the types of block {} cover different snapshots", row.row.block);
        covers = Some(note.covers);
    }
    covers.context("a block without types")
}

/// Compares the answer for one service, type and range with the model: totals
/// by rows, number of snapshots, and each leaf of the merged profile.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check_range(
    store: &Store,
    model: &Model,
    (service, typ): (&ServiceName, &ProfileType),
    range: Range,
) -> anyhow::Result<()> {
    let (service, typ) = (service.clone(), typ.clone());
    let selection = Selection { tenant: "default".parse()?, service, typ, range };
    let what = || format!("{} of `{}`", selection.typ, selection.service);
    let plan = match plan(store, &selection).await {
        Ok(plan) => plan,
        Err(QueryError::Nothing { range, .. }) => {
            let expected = model.leaves(&selection.service, &selection.typ, range);
            ensure!(expected.is_empty(), "{}: no answer, expected {expected:?}", what());
            return Ok(());
        }
        Err(error) => return Err(error).with_context(what),
    };
    let expected = model.leaves(&selection.service, &selection.typ, plan.range);
    by_rows(&plan, &expected).with_context(what)?;
    let merged = fetch(store, &plan, &Limits::default()).await?;
    by_leaves(&merged, &expected).with_context(what)
}

fn by_rows(plan: &Plan, expected: &Leaves) -> anyhow::Result<()> {
    let totals: Vec<i128> = plan.totals().into_iter().map(|(_, total)| total.0).collect();
    let sum = expected.values().fold([0, 0], |sum, leaf| [sum[0] + leaf[0], sum[1] + leaf[1]]);
    let (from, until) = (plan.range.from, plan.range.until);
    ensure!(totals == sum, "rows sum to {totals:?} instead of {sum:?} in {from}..{until}");
    let snapshots = i128::from(plan.snapshots());
    ensure!(snapshots == sum[0], "{snapshots} snapshots instead of {}", sum[0]);
    ensure!(plan.left_out == 0, "{} snapshots left out", plan.left_out);
    Ok(())
}

fn by_leaves(merged: &Merged, expected: &Leaves) -> anyhow::Result<()> {
    let mut leaves = Leaves::new();
    for sample in merged.samples() {
        let name = sample.frames().next().map_or("", |frame| frame.name());
        let leaf = leaves.entry(name.to_owned()).or_default();
        for (sum, value) in leaf.iter_mut().zip(sample.values()) {
            *sum += i128::from(*value);
        }
    }
    let differ = leaves.iter().filter(|(name, leaf)| expected.get(*name) != Some(leaf));
    let wrong: Vec<_> = differ.take(5).collect();
    ensure!(wrong.is_empty(), "the profile holds what it must not: {wrong:?}");
    let missing: Vec<_> = expected.keys().filter(|name| !leaves.contains_key(*name)).collect();
    ensure!(missing.is_empty(), "the profile lacks {missing:?}");
    Ok(())
}
