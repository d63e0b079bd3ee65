//! A pprof, built from stacks of addresses.

use std::collections::HashMap;

use flambeau_profile::proto::{
    Function, Label, Line, Location, Mapping as ProtoMapping, Profile, Sample, ValueType,
};

use crate::mappings::Mapping;

/// What a stack's first address is; the others are return addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// The instruction that was interrupted.
    Interrupted,
    /// The address a call returns to.
    Return,
}

/// Gathers samples into one profile with a table entry for each thing, once.
pub(crate) struct ProfileBuilder<'m> {
    profile: Profile,
    mappings: &'m [Mapping],
    strings: HashMap<String, i64>,
    /// Locations by the address of their instruction.
    addresses: HashMap<u64, u64>,
    /// Locations of frames that are no code.
    named: HashMap<i64, u64>,
    samples: HashMap<SampleKey, usize>,
}

/// What makes a sample: its locations and its labels.
type SampleKey = (Vec<u64>, Vec<Label>);

impl<'m> ProfileBuilder<'m> {
    /// An empty profile of these sample types (name and unit), one sample per `period` of
    /// `period_type`; the last sample type is the one shown first. Addresses are looked up in
    /// `mappings`.
    pub(crate) fn new(
        mappings: &'m [Mapping],
        sample_types: &[(&str, &str)],
        period_type: (&str, &str),
        period: i64,
    ) -> Self {
        let mut builder = Self {
            profile: Profile::default(),
            mappings,
            strings: HashMap::new(),
            addresses: HashMap::new(),
            named: HashMap::new(),
            samples: HashMap::new(),
        };
        builder.string("");
        let types: Vec<_> = sample_types.iter().map(|typ| builder.value_type(typ)).collect();
        builder.profile.default_sample_type = types.last().map_or(0, |typ| typ.r#type);
        builder.profile.sample_type = types;
        builder.profile.period_type = Some(builder.value_type(&period_type));
        builder.profile.period = period;
        builder.add_mappings();
        builder
    }

    /// Locations of a stack, leaf first.
    pub(crate) fn stack(&mut self, frames: &[u64], leaf: Leaf) -> Vec<u64> {
        let mut locations = Vec::with_capacity(frames.len());
        for (depth, address) in frames.iter().enumerate() {
            let interrupted = depth == 0 && leaf == Leaf::Interrupted;
            // Behind a call stands its return address, which may be another line's, or another
            // function's when the call never returns.
            let instruction = if interrupted { *address } else { address.saturating_sub(1) };
            locations.push(self.address(instruction));
        }
        locations
    }

    /// The location of a frame that is no code, such as `[waiting]`.
    pub(crate) fn named(&mut self, name: &str) -> u64 {
        let name = self.string(name);
        if let Some(id) = self.named.get(&name) {
            return *id;
        }
        let function = self.profile.function.len() as u64 + 1;
        self.profile.function.push(Function {
            id: function,
            name,
            system_name: name,
            ..Function::default()
        });
        let id = self.profile.location.len() as u64 + 1;
        let line = Line { function_id: function, ..Line::default() };
        self.profile.location.push(Location { id, line: vec![line], ..Location::default() });
        self.named.insert(name, id);
        id
    }

    /// Labels of texts, as a sample has them.
    pub(crate) fn labels(&mut self, labels: &[(String, String)]) -> Vec<Label> {
        let label = |(key, value): &(String, String)| {
            let (key, str) = (self.string(key), self.string(value));
            Label { key, str, ..Label::default() }
        };
        labels.iter().map(label).collect()
    }

    /// A label of a number; its unit makes it one also if it is 0.
    pub(crate) fn number(&mut self, key: &str, unit: &str, num: i64) -> Label {
        Label { key: self.string(key), num, num_unit: self.string(unit), ..Label::default() }
    }

    /// Adds `values`, one per sample type, on `locations`, leaf first.
    pub(crate) fn sample(
        &mut self,
        locations: Vec<u64>,
        values: &[i64],
        labels: &[(String, String)],
    ) {
        let labels = self.labels(labels);
        let key = (locations, labels);
        if let Some(index) = self.samples.get(&key) {
            let known = &mut self.profile.sample[*index].value;
            known.iter_mut().zip(values).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
            return;
        }
        let (locations, labels) = key.clone();
        self.samples.insert(key, self.profile.sample.len());
        self.push(locations, values, labels);
    }

    /// As [`sample`](Self::sample), where no other has the same locations and labels.
    pub(crate) fn push(&mut self, location_id: Vec<u64>, values: &[i64], label: Vec<Label>) {
        self.profile.sample.push(Sample { location_id, value: values.to_vec(), label });
    }

    /// The profile; `None` if it has no samples.
    pub(crate) fn finish(self) -> Option<Profile> {
        Some(self.profile).filter(|profile| !profile.sample.is_empty())
    }

    fn address(&mut self, address: u64) -> u64 {
        if let Some(id) = self.addresses.get(&address) {
            return *id;
        }
        let mapping = self.mappings.iter().position(|mapping| mapping.code.contains(&address));
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location {
            id,
            mapping_id: mapping.map_or(0, |index| index as u64 + 1),
            address,
            ..Location::default()
        });
        self.addresses.insert(address, id);
        id
    }

    fn add_mappings(&mut self) {
        for (id, mapping) in (1..).zip(self.mappings) {
            let mapping = ProtoMapping {
                id,
                memory_start: mapping.code.start,
                memory_limit: mapping.code.end,
                file_offset: mapping.offset,
                filename: self.string(&mapping.file),
                build_id: self.string(&mapping.build_id),
                ..ProtoMapping::default()
            };
            self.profile.mapping.push(mapping);
        }
    }

    fn value_type(&mut self, (name, unit): &(&str, &str)) -> ValueType {
        ValueType { r#type: self.string(name), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        intern(&mut self.strings, &mut self.profile, text)
    }
}

fn intern(strings: &mut HashMap<String, i64>, profile: &mut Profile, text: &str) -> i64 {
    if let Some(id) = strings.get(text) {
        return *id;
    }
    let id = push_string(profile, text.to_owned());
    strings.insert(text.to_owned(), id);
    id
}

/// Appends a string; a table of 2^63 of them does not fit into memory.
pub(crate) fn push_string(profile: &mut Profile, text: String) -> i64 {
    profile.string_table.push(text);
    profile.string_table.len() as i64 - 1
}

/// Appends a comment.
pub(crate) fn add_comment(profile: &mut Profile, comment: String) {
    let id = push_string(profile, comment);
    profile.comment.push(id);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mapping() -> Mapping {
        Mapping {
            code: 0x1000..0x2000,
            offset: 0x40,
            bias: 0x900,
            file: "/bin/f".into(),
            build_id: "ab".into(),
        }
    }

    #[test]
    fn equal_stacks_are_one_sample_and_callers_lie_before_their_return() {
        let mappings = [mapping()];
        let kinds = [("samples", "count"), ("cpu", "nanoseconds")];
        let mut builder = ProfileBuilder::new(&mappings, &kinds, kinds[1], 10);
        for _ in 0..2 {
            let stack = builder.stack(&[0x1500, 0x1600, 0x5000], Leaf::Interrupted);
            builder.sample(stack, &[1, 10], &[("k".into(), "v".into())]);
        }
        let profile = builder.finish().unwrap();
        assert_eq!(profile.sample.len(), 1);
        assert_eq!(profile.sample[0].value, [2, 20]);
        let places: Vec<_> =
            profile.location.iter().map(|place| (place.address, place.mapping_id)).collect();
        assert_eq!(places, [(0x1500, 1), (0x15ff, 1), (0x4fff, 0)]);
        assert_eq!(profile.mapping[0].memory_start, 0x1000);
    }

    #[test]
    fn frames_that_are_no_code_have_a_name_and_no_address() {
        let mut builder = ProfileBuilder::new(&[], &[("a", "b")], ("a", "b"), 1);
        let waiting = builder.named("[waiting]");
        assert_eq!(builder.named("[waiting]"), waiting);
        builder.sample(vec![waiting], &[7], &[]);
        let profile = builder.finish().unwrap();
        let name = profile.function[0].name as usize;
        assert_eq!(profile.string_table[name], "[waiting]");
        assert_eq!((profile.location[0].address, profile.location[0].mapping_id), (0, 0));
    }

    #[test]
    fn nothing_is_no_profile() {
        assert!(ProfileBuilder::new(&[], &[("a", "b")], ("a", "b"), 1).finish().is_none());
    }
}
