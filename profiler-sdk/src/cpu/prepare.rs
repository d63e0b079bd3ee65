//! Gets the unwind tables of all loaded code, off everybody's way.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::build_cfi::{MAX_ROWS, build};
use crate::cpu::cfi::{Table, Tables};
use crate::cpu::modules::{self, Generation, Module};
use crate::cpu::{self_test, unwind};

/// How far the unwinder has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwinder {
    /// Tables are being built; stacks go as far as frame pointers do.
    Starting,
    /// Tables where there are any, frame pointers elsewhere.
    Tables,
    /// The self-test failed: stacks are the interrupted function only.
    Off,
}

static STATE: AtomicU8 = AtomicU8::new(Unwinder::Starting as u8);

/// What tables there are.
struct Known {
    generation: Option<Generation>,
    tables: Vec<(Module, &'static Table)>,
    /// Rows of all tables ever built: those of unloaded code stay, for a handler may be
    /// looking at them.
    rows: usize,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { generation: None, tables: Vec::new(), rows: 0 });

/// How far the unwinder has come.
pub(crate) fn state() -> Unwinder {
    match STATE.load(Acquire) {
        0 => Unwinder::Starting,
        1 => Unwinder::Tables,
        _ => Unwinder::Off,
    }
}

/// Begins to build tables, on a thread of its own, the first time it is called.
///
/// # Errors
/// If there can be no thread.
pub(crate) fn begin() -> std::io::Result<()> {
    if !known().tables.is_empty() {
        return Ok(());
    }
    know_code();
    let builder = std::thread::Builder::new().name("flambeau-unwind".into());
    builder.spawn(build_all).map(|_| ())
}

/// Where code is, without any rules: enough to tell a return address from any other word.
fn know_code() {
    let mut known = known();
    let bare = |module: Module| {
        let table: &'static Table = leak(Table::without_rules(module.code.clone()));
        (module, table)
    };
    known.tables = modules::loaded().0.into_iter().map(bare).collect();
    publish(&known);
}

fn build_all() {
    update(&mut known());
    let modules: Vec<_> = known().tables.iter().map(|(module, _)| module.clone()).collect();
    let state = if self_test::passes(&modules) { Unwinder::Tables } else { Unwinder::Off };
    if state == Unwinder::Off {
        unwind::turn_off();
    }
    STATE.store(state as u8, Release);
}

/// Takes in what was loaded and unloaded since the last time. Quick if nothing was.
pub(crate) fn refresh() {
    let mut known = known();
    if known.generation.is_some_and(|last| last != modules::generation()) {
        update(&mut known);
    }
}

/// Rows and bytes of the tables in use.
pub(crate) fn size() -> (usize, usize) {
    let known = known();
    let tables = known.tables.iter().map(|(_, table)| table);
    tables.fold((0, 0), |(rows, bytes), table| (rows + table.rows(), bytes + table.bytes()))
}

fn update(known: &mut Known) {
    let (mut loaded, generation) = modules::loaded();
    // Small ones first, so that the large one is what the limit cuts.
    loaded.sort_by_key(|module| module.header.end - module.header.start);
    let is_first = known.generation.is_none();
    let mut tables = Vec::with_capacity(loaded.len());
    for module in loaded {
        let before = known.tables.iter().find(|(known, _)| *known == module);
        let table = match before {
            Some((_, table)) if !is_first => table,
            _ => tabulate(&module, &mut known.rows),
        };
        tables.push((module, table));
    }
    known.tables = tables;
    known.generation = Some(generation);
    publish(known);
}

fn tabulate(module: &Module, rows: &mut usize) -> &'static Table {
    let table = match module.pin() {
        Some(_pin) => build(module, MAX_ROWS.saturating_sub(*rows)),
        None => Table::without_rules(module.code.clone()),
    };
    *rows += table.rows();
    leak(table)
}

fn publish(known: &Known) {
    let tables = known.tables.iter().map(|(_, table)| *table).collect();
    unwind::set_tables(leak(Tables::new(tables)));
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
