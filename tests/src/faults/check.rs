//! The store held against the model.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use flambeau_layout::{ProfileType, RowState, ServiceName, UnixMillis};
use flambeau_profile::Limits;
use flambeau_query::{Grain, Plan, QueryError, Range, Selection, fetch, plan_at, read};
use flambeau_store::Store;

use super::{
    fates::{fates, notes, strays_have_notes},
    held::{Held, Objects, held_by, leaves_of, same, sum_of},
    model::{Leaves, Model},
};
use crate::stack::now;

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Snapshots in blocks.
    pub merged: usize,
    /// Snapshots parked.
    pub parked: usize,
    /// Snapshots without a fate: still queued.
    pub queued: usize,
    /// Answers compared.
    pub answers: usize,
    /// Level-0 blocks whose covers were read.
    pub blocks: usize,
    /// Rows that stand as `open`.
    pub open: usize,
    /// Rows that stand as `done`.
    pub done: usize,
}

/// Compares all there is, while nobody writes: fates, notes of parked ones,
/// rows and the objects they name, covers of blocks, and the answers for each
/// service and type, over everything and window by window.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check(store: &Store, model: &mut Model) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    fates(store, model, &mut checked).await?;
    notes(store, model).await?;
    let (objects, now) = (Objects::list(store).await?, now());
    for service in services(model) {
        let mut contents = std::mem::take(&mut model.contents);
        let held = Held::read(store, &mut contents, &objects, &service).await;
        model.contents = contents;
        let held = held?;
        checked.blocks += held.covers(model, &service)?;
        checked.open += held.count(RowState::Open);
        checked.done += held.count(RowState::Done);
        for (of, typ) in model.asked().iter().filter(|(of, _)| *of == service) {
            checked.answers += held.answers(model, (of, typ), now)?;
        }
    }
    let asked = model.asked();
    for (number, (service, typ)) in asked.iter().enumerate() {
        // What blocks hold is known by now, so merging one answer is enough:
        // now this, now that one.
        if number == model.fates.len() % asked.len() {
            check_range(store, model, (service, typ), Range::all()).await?;
        } else {
            check_plan(store, model, (service, typ)).await?;
        }
        checked.answers += 1;
    }
    Ok(checked)
}

/// Compares the plan over everything with the model, and what its blocks were
/// found to hold.
async fn check_plan(
    store: &Store,
    model: &Model,
    (service, typ): (&ServiceName, &ProfileType),
) -> anyhow::Result<()> {
    let what = || format!("{typ} of `{service}`");
    let selection = Selection {
        tenant: "default".parse()?,
        service: service.clone(),
        typ: typ.clone(),
        range: Range::all(),
    };
    match plan_at(store, &selection, now(), Grain::default()).await {
        Ok(plan) => {
            let expected = model.leaves(service, typ, plan.range);
            by_rows(&plan, &expected).with_context(what)?;
            same(&held_by(&plan, model)?, &expected).with_context(what)
        }
        Err(QueryError::Nothing { range, .. }) => {
            let expected = model.leaves(service, typ, range);
            ensure!(expected.is_empty(), "{}: no answer, expected {expected:?}", what());
            Ok(())
        }
        Err(error) => Err(error).with_context(what),
    }
}

/// As [`check`], after everything was delivered: nothing may be left queued,
/// and what lies outside the layout has its note.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check_settled(store: &Store, model: &mut Model) -> anyhow::Result<Checked> {
    let checked = check(store, model).await?;
    ensure!(checked.queued == 0, "without a fate: {:?}", model.queued());
    strays_have_notes(store, model).await?;
    Ok(checked)
}

fn services(model: &Model) -> BTreeSet<ServiceName> {
    model.asked().into_iter().map(|(service, _)| service).collect()
}

/// Compares the answer for one service, type and range with the model: totals
/// by rows, number of snapshots, and each leaf of the merged profile.
///
/// # Errors
/// At the first difference, or when the store fails.
pub async fn check_range(
    store: &Store,
    model: &Model,
    asked: (&ServiceName, &ProfileType),
    range: Range,
) -> anyhow::Result<()> {
    check_range_at(store, model, asked, range, now()).await
}

/// As [`check_range`], at a given time.
///
/// # Errors
/// As [`check_range`].
pub async fn check_range_at(
    store: &Store,
    model: &Model,
    (service, typ): (&ServiceName, &ProfileType),
    range: Range,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let (service, typ) = (service.clone(), typ.clone());
    let selection = Selection { tenant: "default".parse()?, service, typ, range };
    let what = || format!("{} of `{}`", selection.typ, selection.service);
    let plan = match plan_at(store, &selection, now, Grain::default()).await {
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
    same(&leaves_of(&merged), &expected).with_context(what)
}

/// As [`check_range_at`], through [`read`]: an object that has gone makes another
/// plan, which is answered.
///
/// # Errors
/// As [`check_range`].
pub async fn check_read_at(
    store: &Store,
    model: &Model,
    (service, typ): (&ServiceName, &ProfileType),
    range: Range,
    now: UnixMillis,
) -> anyhow::Result<Plan> {
    let (service, typ) = (service.clone(), typ.clone());
    let selection = Selection { tenant: "default".parse()?, service, typ, range };
    let (plan, merged) = read(store, &selection, now, &Limits::default()).await?;
    let expected = model.leaves(&selection.service, &selection.typ, plan.range);
    by_rows(&plan, &expected)?;
    same(&leaves_of(&merged), &expected)?;
    Ok(plan)
}

pub(super) fn by_rows(plan: &Plan, expected: &Leaves) -> anyhow::Result<()> {
    let totals: Vec<i128> = plan.totals().into_iter().map(|(_, total)| total.0).collect();
    let sum = sum_of(expected);
    let (from, until) = (plan.range.from, plan.range.until);
    ensure!(totals == sum, "rows sum to {totals:?} instead of {sum:?} in {from}..{until}");
    let snapshots = i128::from(plan.snapshots());
    ensure!(snapshots == sum[0], "{snapshots} snapshots instead of {}", sum[0]);
    ensure!(plan.left_out == 0, "{} snapshots left out", plan.left_out);
    Ok(())
}
