//! What rows and objects hold, read once per block, and every answer computed
//! from it as a reader would.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, ensure};
use flambeau_layout::{
    BlockId, BlockRow, Fate, IdentityHash, Level, Note, ObjectRange, ProfileType, RowState,
    ServiceName, TenantId, TypePart, UnixMillis, Window,
    object::{BLOCKS, SEGMENTS},
};
use flambeau_profile::{Limits, Merged};
use flambeau_query::{Plan, Range, select};
use flambeau_store::{IndexedRow, Store};

use super::model::{Leaves, Model};

/// What one block holds. Objects are never replaced, so what was read once
/// need only be there.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// Snapshots that its profiles say they cover; none in a rollup.
    covers: Vec<IdentityHash>,
    /// Its leaves per type.
    leaves: BTreeMap<ProfileType, Leaves>,
}

/// Contents by block.
pub(super) type Contents = HashMap<BlockId, Content>;

/// Size of each object that rows can name.
pub(super) struct Objects(HashMap<String, u64>);

impl Objects {
    pub(super) async fn list(store: &Store) -> anyhow::Result<Self> {
        let mut sizes = HashMap::new();
        for prefix in [SEGMENTS, BLOCKS] {
            let objects = store.list_all(&format!("{prefix}default/")).await?;
            sizes.extend(objects.into_iter().map(|object| (object.key, object.size)));
        }
        Ok(Self(sizes))
    }

    fn holds(&self, at: &ObjectRange) -> bool {
        self.0.get(&at.key).is_some_and(|size| at.offset + at.len <= *size)
    }
}

/// Whether every row of these services names bytes that are there; answers
/// how many rows there are.
///
/// # Errors
/// At the first row whose object is gone, or when the store fails.
pub async fn check_objects(store: &Store, services: &[ServiceName]) -> anyhow::Result<usize> {
    // Rows first: what is put meanwhile is no row's object that has gone.
    let (tenant, mut rows): (TenantId, _) = ("default".parse()?, Vec::new());
    for service in services {
        rows.extend(store.all_rows(&tenant, service).await?);
    }
    let objects = Objects::list(store).await?;
    for IndexedRow { row, state, .. } in &rows {
        for part in &row.parts {
            let (block, window, key) = (&row.block, row.window, &part.at.key);
            ensure!(objects.holds(&part.at), "{state:?} {block} of {window}: `{key}` is gone");
        }
    }
    Ok(rows.len())
}

/// All rows of a service and what they hold.
pub(super) struct Held {
    rows: Vec<IndexedRow>,
}

impl Held {
    /// Reads all rows of a service; each names bytes that are there, and
    /// profiles not read before are read.
    pub(super) async fn read(
        store: &Store,
        contents: &mut Contents,
        objects: &Objects,
        service: &ServiceName,
    ) -> anyhow::Result<Self> {
        let tenant: TenantId = "default".parse()?;
        let rows = store.all_rows(&tenant, service).await?;
        for indexed in &rows {
            let block = &indexed.row.block;
            for part in &indexed.row.parts {
                ensure!(objects.holds(&part.at), "block {block}: `{}` is gone", part.at.key);
            }
            if !contents.contains_key(block) {
                contents.insert(block.clone(), content_of(store, indexed).await?);
            }
        }
        Ok(Self { rows })
    }

    /// Blocks made of snapshots.
    fn level_0(&self) -> BTreeMap<&BlockId, &IndexedRow> {
        let made_of_snapshots = self.rows.iter().filter(|row| row.row.children.is_empty());
        made_of_snapshots.map(|row| (&row.row.block, row)).collect()
    }

    /// Each merged snapshot is covered by exactly one level-0 block, the one
    /// its claim names; answers how many blocks there are.
    pub(super) fn covers(&self, model: &Model, service: &ServiceName) -> anyhow::Result<usize> {
        let mut covered: BTreeMap<&IdentityHash, &BlockId> = BTreeMap::new();
        let blocks = self.level_0();
        for block in blocks.keys() {
            for identity in &model.contents[*block].covers {
                let before = covered.insert(identity, block);
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
            ensure!(held == block, "`{name}` claims {block:?} and is in {held:?}");
        }
        ensure!(covered.is_empty(), "in a block without a claim: {covered:?}");
        Ok(blocks.len())
    }

    /// Every answer a reader at rest gets: over everything, and over each
    /// window of each level that the service was merged into. Computed by the
    /// reader's own plan from the rows at hand; answers how many there were.
    pub(super) fn answers(
        &self,
        model: &Model,
        (service, typ): (&ServiceName, &ProfileType),
        now: UnixMillis,
    ) -> anyhow::Result<usize> {
        let mut ranges: BTreeSet<(UnixMillis, UnixMillis)> = BTreeSet::new();
        let minutes = model.windows(service);
        for level in Level::ALL {
            let windows: BTreeSet<Window> = minutes.iter().map(|w| w.within(level)).collect();
            ranges.extend(windows.into_iter().map(|window| (window.start, window.end())));
        }
        ranges.insert((Range::all().from, Range::all().until));
        for (from, until) in &ranges {
            let range = select::round(Range { from: *from, until: *until }, now, Level::Minute);
            let held = self.answer(model, typ, range.range)?;
            let expected = model.leaves(service, typ, range.range);
            same(&held, &expected)
                .with_context(|| format!("{typ} of `{service}` {from}..{until}"))?;
        }
        Ok(ranges.len())
    }

    fn answer(&self, model: &Model, typ: &ProfileType, range: Range) -> anyhow::Result<Leaves> {
        let mut read = Vec::new();
        for part in select::reads(range, Level::Month) {
            let wanted = |indexed: &&IndexedRow| {
                let window = indexed.row.window;
                indexed.state == part.state
                    && window.level == part.level
                    && window.meets(part.range.from, part.range.until)
            };
            read.extend(self.rows.iter().filter(wanted).cloned());
        }
        let counted = select::count(read, range).rows;
        held_by_rows(counted.iter().map(|indexed| &indexed.row), typ, model)
    }

    /// Rows by state.
    pub(super) fn count(&self, state: RowState) -> usize {
        self.rows.iter().filter(|indexed| indexed.state == state).count()
    }
}

/// What the blocks of a plan were found to hold.
pub(super) fn held_by(plan: &Plan, model: &Model) -> anyhow::Result<Leaves> {
    held_by_rows(plan.blocks.iter(), &plan.typ, model)
}

fn held_by_rows<'a>(
    rows: impl Iterator<Item = &'a BlockRow>,
    typ: &ProfileType,
    model: &Model,
) -> anyhow::Result<Leaves> {
    let mut leaves = Leaves::new();
    for row in rows {
        let Some(part) = row.part(typ) else { continue };
        let content = model.contents.get(&row.block);
        let own = content.and_then(|content| content.leaves.get(typ));
        let own = own.with_context(|| format!("block {} holds no {typ}", row.block))?;
        by_totals(own, part).with_context(|| format!("row of block {}", row.block))?;
        add(&mut leaves, own);
    }
    Ok(leaves)
}

async fn content_of(store: &Store, row: &IndexedRow) -> anyhow::Result<Content> {
    let mut content = Content::default();
    for (index, part) in row.row.parts.iter().enumerate() {
        let bytes = store.get_range(&part.at).await?;
        let profile = Merged::from_bytes(&bytes, &Limits::default())?;
        let comments = profile.header().comments.iter().map(String::as_str);
        let Some(Note::Block(note)) = Note::find(comments)? else {
            anyhow::bail!("block {} has no note in it", row.row.block)
        };
        let same = index == 0 || content.covers == note.covers;
        ensure!(same, "the types of block {} cover different snapshots", row.row.block);
        content.covers = note.covers;
        content.leaves.insert(part.typ.clone(), leaves_of(&profile));
    }
    ensure!(!content.leaves.is_empty(), "block {} has no types", row.row.block);
    Ok(content)
}

/// Counts and nanoseconds per leaf of a profile.
pub(super) fn leaves_of(profile: &Merged) -> Leaves {
    let mut leaves = Leaves::new();
    for sample in profile.samples() {
        let name = sample.frames().next().map_or("", |frame| frame.name());
        let leaf = leaves.entry(name.to_owned()).or_default();
        for (sum, value) in leaf.iter_mut().zip(sample.values()) {
            *sum += i128::from(*value);
        }
    }
    leaves
}

fn add(sum: &mut Leaves, more: &Leaves) {
    for (name, [count, nanos]) in more {
        let leaf = sum.entry(name.clone()).or_default();
        leaf[0] += count;
        leaf[1] += nanos;
    }
}

/// A row's totals are those of its profile.
fn by_totals(leaves: &Leaves, part: &TypePart) -> anyhow::Result<()> {
    let totals: Vec<i128> = part.totals.iter().map(|total| total.0).collect();
    let (sum, snapshots) = (sum_of(leaves), i128::from(part.snapshots));
    ensure!(totals == sum, "its totals are {totals:?}, its profile's {sum:?}");
    ensure!(snapshots == sum[0], "{snapshots} snapshots instead of {}", sum[0]);
    Ok(())
}

pub(super) fn sum_of(leaves: &Leaves) -> [i128; 2] {
    leaves.values().fold([0, 0], |sum, leaf| [sum[0] + leaf[0], sum[1] + leaf[1]])
}

/// The same leaves with the same values.
pub(super) fn same(held: &Leaves, expected: &Leaves) -> anyhow::Result<()> {
    let differ = held.iter().filter(|(name, leaf)| expected.get(*name) != Some(leaf));
    let wrong: Vec<_> = differ.take(5).collect();
    ensure!(wrong.is_empty(), "the profile holds what it must not: {wrong:?}");
    let missing: Vec<_> = expected.keys().filter(|name| !held.contains_key(*name)).collect();
    ensure!(missing.is_empty(), "the profile lacks {missing:?}");
    Ok(())
}
