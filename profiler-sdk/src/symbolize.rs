//! Names for addresses, from symbol tables alone.
//!
//! Reading debug information takes tens of milliseconds and hundreds of megabytes where it is
//! large, which a small function has not got. A symbol table gives the function, not the line
//! and not what was inlined into it; whoever wants these keeps the unstripped binary and lets
//! `go tool pprof` find it by its build id.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;

use flambeau_profile::proto::{Function, Line, Profile};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, ReadCache, SymbolKind};

use crate::mappings::Mapping;
use crate::profile_builder::push_string;

/// Most addresses whose names are remembered between two snapshots.
const MAX_REMEMBERED: usize = 65_536;

/// Longest name kept, in bytes: generics can make names of many kilobytes.
const MAX_NAME_BYTES: usize = 4_096;

/// Frames that every labelled stack would have and nobody asked for.
const SCAFFOLDING: [&str; 3] =
    ["profiler_sdk::tags::", "profiler_sdk::service::", "profiler_sdk::pprof_backend::markers::"];

/// Names addresses of the files mapped, and remembers them: a table is read only when an
/// address is new, and not kept.
#[derive(Default)]
pub(crate) struct Symbolizer {
    known: HashMap<(String, u64), Option<Arc<Name>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// As in the source, without the build's hash.
    shown: String,
    /// As the linker has it.
    system: String,
}

impl Symbolizer {
    /// Adds a function and a line to every location that has none and whose name is known;
    /// others stay bare addresses for somebody else to name.
    pub(crate) fn name_locations(&mut self, profile: &mut Profile, mappings: &[Mapping]) {
        self.learn(profile, mappings);
        let mut functions: HashMap<*const Name, u64> = HashMap::new();
        for at in 0..profile.location.len() {
            let Some(name) = self.name_of(profile, at, mappings) else { continue };
            let function = *functions
                .entry(Arc::as_ptr(&name))
                .or_insert_with(|| push_function(profile, &name));
            profile.location[at].line = vec![Line { function_id: function, line: 0, column: 0 }];
        }
        hide_scaffolding(profile, &functions);
        for (mapping, proto) in mappings.iter().zip(&mut profile.mapping) {
            proto.has_functions =
                self.known.iter().any(|((file, _), name)| *file == mapping.file && name.is_some());
        }
    }

    /// Reads the tables of files with addresses not seen before.
    fn learn(&mut self, profile: &Profile, mappings: &[Mapping]) {
        let mut wanted: HashMap<&str, Vec<u64>> = HashMap::new();
        for at in 0..profile.location.len() {
            let Some((file, address)) = place(profile, at, mappings) else { continue };
            if !self.known.contains_key(&(file.to_owned(), address)) {
                wanted.entry(file).or_default().push(address);
            }
        }
        if self.known.len() + wanted.values().map(Vec::len).sum::<usize>() > MAX_REMEMBERED {
            self.known.clear();
        }
        for (file, addresses) in wanted {
            let names = names_in(file, &addresses).unwrap_or_else(|| vec![None; addresses.len()]);
            let keys = addresses.into_iter().map(|address| (file.to_owned(), address));
            self.known.extend(keys.zip(names));
        }
    }

    fn name_of(&self, profile: &Profile, at: usize, mappings: &[Mapping]) -> Option<Arc<Name>> {
        let (file, address) = place(profile, at, mappings)?;
        self.known.get(&(file.to_owned(), address))?.clone()
    }
}

/// Takes our own wrappers out of stacks, but for one that would be left empty.
fn hide_scaffolding(profile: &mut Profile, functions: &HashMap<*const Name, u64>) {
    let is_ours = |id: u64| {
        let function = &profile.function[id as usize - 1];
        let name = &profile.string_table[function.name as usize];
        SCAFFOLDING.iter().any(|own| name.contains(own))
    };
    let ours: HashSet<u64> = functions.values().copied().filter(|id| is_ours(*id)).collect();
    if ours.is_empty() {
        return;
    }
    let hidden: HashSet<u64> = profile
        .location
        .iter()
        .filter(|location| location.line.iter().all(|line| ours.contains(&line.function_id)))
        .filter(|location| !location.line.is_empty())
        .map(|location| location.id)
        .collect();
    for sample in &mut profile.sample {
        if sample.location_id.iter().any(|id| !hidden.contains(id)) {
            sample.location_id.retain(|id| !hidden.contains(id));
        }
    }
}

/// The file of a location without lines, and its address there.
fn place<'m>(profile: &Profile, at: usize, mappings: &'m [Mapping]) -> Option<(&'m str, u64)> {
    let location = &profile.location[at];
    let index = usize::try_from(location.mapping_id).ok()?.checked_sub(1)?;
    let mapping = mappings.get(index).filter(|_| location.line.is_empty())?;
    Some((&mapping.file, location.address.wrapping_sub(mapping.bias)))
}

fn push_function(profile: &mut Profile, name: &Name) -> u64 {
    let id = profile.function.len() as u64 + 1;
    let shown = push_string(profile, name.shown.clone());
    let system_name = push_string(profile, name.system.clone());
    profile.function.push(Function { id, name: shown, system_name, ..Function::default() });
    id
}

/// The function around each address; `None` if the file has no table to be read.
///
/// Only the parts of the file that hold the table are read.
fn names_in(file: &str, addresses: &[u64]) -> Option<Vec<Option<Arc<Name>>>> {
    let cache = ReadCache::new(File::open(file).ok()?);
    let elf = ElfFile64::<object::NativeEndian, _>::parse(&cache).ok()?;
    let mut names = pick(elf.symbols(), addresses);
    if names.iter().all(Option::is_none) {
        names = pick(elf.dynamic_symbols(), addresses);
    }
    Some(names)
}

/// For each address the last function that begins at or before it and is not over there; of
/// several names of one function, the first.
fn pick<'data: 'file, 'file, S: ObjectSymbol<'data>>(
    symbols: impl Iterator<Item = S>,
    addresses: &[u64],
) -> Vec<Option<Arc<Name>>> {
    let mut table: Vec<(u64, u64, S)> = symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .map(|symbol| (symbol.address(), symbol.size(), symbol))
        .collect();
    table.sort_by_key(|(start, _, _)| *start);
    table.dedup_by_key(|(start, _, _)| *start);
    let mut shared: HashMap<u64, Option<Arc<Name>>> = HashMap::new();
    let find = |address: &u64| {
        let at = table.partition_point(|(start, _, _)| start <= address).checked_sub(1)?;
        let (start, size, symbol) = &table[at];
        // Symbols of assembly often have no size.
        let within = *size == 0 || *address < start.saturating_add(*size);
        let named = || symbol.name().ok().map(|name| Arc::new(name_of(name)));
        within.then(|| shared.entry(*start).or_insert_with(named).clone()).flatten()
    };
    addresses.iter().map(find).collect()
}

fn name_of(system: &str) -> Name {
    // The alternate form leaves the hash of the build out.
    let mut shown = format!("{:#}", rustc_demangle::demangle(system));
    let end = shown.floor_char_boundary(MAX_NAME_BYTES);
    shown.truncate(end);
    Name { shown, system: system.chars().take(MAX_NAME_BYTES).collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mappings::mappings;
    use crate::profile_builder::{Leaf, ProfileBuilder};

    #[inline(never)]
    fn somebody() -> u64 {
        std::hint::black_box(7)
    }

    fn names(profile: &Profile) -> Vec<Option<String>> {
        let name = |line: &Line| {
            let function = &profile.function[line.function_id as usize - 1];
            profile.string_table[function.name as usize].clone()
        };
        profile.location.iter().map(|location| location.line.first().map(name)).collect()
    }

    #[test]
    fn own_functions_and_those_of_libraries_have_names() {
        assert_eq!(somebody(), 7);
        let mappings = mappings();
        let mut builder = ProfileBuilder::new(&mappings, &[("a", "b")], ("a", "b"), 1);
        let addresses = [somebody as *const () as u64, libc::qsort as *const () as u64, 0x10];
        let mut stack = Vec::new();
        for address in addresses {
            stack.extend(builder.stack(&[address], Leaf::Interrupted));
        }
        let waiting = builder.named("[waiting]");
        builder.sample([stack, vec![waiting]].concat(), &[1], &[]);
        let mut profile = builder.finish().unwrap();
        let mut symbolizer = Symbolizer::default();
        symbolizer.name_locations(&mut profile, &mappings);
        let names = names(&profile);
        assert!(names[0].as_deref().unwrap().ends_with("symbolize::tests::somebody"), "{names:?}");
        assert!(names[1].as_deref().unwrap().contains("qsort"), "{names:?}");
        assert_eq!((&names[2], names[3].as_deref()), (&None, Some("[waiting]")));
        assert!(profile.mapping[0].has_functions);
    }

    #[test]
    fn a_file_that_is_gone_leaves_addresses() {
        assert!(names_in("/nowhere/at/all", &[1]).is_none());
        assert!(names_in("/proc/self/status", &[1]).is_none(), "not an ELF file");
    }
}
