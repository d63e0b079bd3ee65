//! A pprof, built from resolved stacks.

use std::collections::HashMap;
use std::time::Duration;

use flambeau_profile::proto::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};

use super::symbolize::{Library, Resolved, SourceLine};

/// Gathers samples into one profile with a table entry for each thing, once.
pub(crate) struct ProfileBuilder {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(String, String), u64>,
    locations: HashMap<Resolved, u64>,
    samples: HashMap<SampleKey, usize>,
    period_nanos: i64,
}

/// What makes a sample: its locations, and its labels as string ids.
type SampleKey = (Vec<u64>, Vec<(i64, i64)>);

impl ProfileBuilder {
    /// An empty CPU profile: `samples/count` and `cpu/nanoseconds`, one sample per `period`.
    pub(crate) fn cpu(period: Duration) -> Self {
        let mut builder = Self {
            profile: Profile::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            samples: HashMap::new(),
            period_nanos: i64::try_from(period.as_nanos()).unwrap_or(i64::MAX),
        };
        builder.string("");
        let samples = builder.value_type("samples", "count");
        let cpu = builder.value_type("cpu", "nanoseconds");
        builder.profile.sample_type = vec![samples, cpu];
        builder.profile.period_type = Some(cpu);
        builder.profile.period = builder.period_nanos;
        builder.profile.default_sample_type = cpu.r#type;
        builder
    }

    /// The id of a location; `None` if it has no line left.
    pub(crate) fn location(&mut self, resolved: &Resolved) -> Option<u64> {
        if resolved.lines.is_empty() {
            return None;
        }
        if let Some(id) = self.locations.get(resolved) {
            return Some(*id);
        }
        let lines = resolved.lines.iter().map(|line| self.line(line)).collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location {
            id,
            // Mappings are numbered as libraries are.
            mapping_id: resolved.library.map_or(0, |index| index as u64 + 1),
            // Lines stand for a whole function here, not for one address in it.
            address: 0,
            line: lines,
            is_folded: false,
        });
        self.locations.insert(resolved.clone(), id);
        Some(id)
    }

    /// Adds `count` samples on `locations`, leaf first.
    pub(crate) fn sample(&mut self, locations: Vec<u64>, count: i64, labels: &[(String, String)]) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| (self.string(key), self.string(value))).collect();
        let value = [count, count.saturating_mul(self.period_nanos)];
        let key = (locations, labels);
        if let Some(index) = self.samples.get(&key) {
            let known = &mut self.profile.sample[*index].value;
            known.iter_mut().zip(value).for_each(|(sum, more)| *sum = sum.saturating_add(more));
            return;
        }
        self.profile.sample.push(Sample {
            location_id: key.0.clone(),
            value: value.to_vec(),
            label: key
                .1
                .iter()
                .map(|(key, str)| Label { key: *key, str: *str, num: 0, num_unit: 0 })
                .collect(),
        });
        self.samples.insert(key, self.profile.sample.len() - 1);
    }

    /// The profile, with a mapping per library; `None` if it has no samples.
    pub(crate) fn finish(mut self, libraries: &[Library]) -> Option<Profile> {
        if self.profile.sample.is_empty() {
            return None;
        }
        for (index, library) in libraries.iter().enumerate() {
            let mapping = Mapping {
                id: index as u64 + 1,
                filename: self.string(&library.path),
                build_id: self.string(&library.build_id),
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
                ..Mapping::default()
            };
            self.profile.mapping.push(mapping);
        }
        Some(self.profile)
    }

    fn line(&mut self, line: &SourceLine) -> Line {
        let key = (line.name.clone(), line.file.clone());
        let next = self.profile.function.len() as u64 + 1;
        let id = *self.functions.entry(key).or_insert(next);
        if id == next {
            let function = Function {
                id,
                name: self.string(&line.name),
                system_name: self.string(&line.system_name),
                filename: self.string(&line.file),
                start_line: 0,
            };
            self.profile.function.push(function);
        }
        Line { function_id: id, line: i64::from(line.line), column: 0 }
    }

    fn value_type(&mut self, name: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.string(name), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        // A table of 2^63 strings does not fit into memory.
        let id = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), id);
        id
    }
}
