//! Stacks of one profile, put under frames that are no code.

use std::collections::HashMap;

use flambeau_profile::proto::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};

use crate::profile_builder::push_string;

/// A profile that goes on from another one's locations.
pub(super) struct Graft {
    profile: Profile,
    strings: HashMap<String, i64>,
    named: HashMap<String, u64>,
    samples: HashMap<(Vec<u64>, Vec<Label>), usize>,
    next_location: u64,
    next_function: u64,
}

impl Graft {
    /// An empty profile of these sample types (name and unit), the last of which is shown
    /// first, with all locations of `stock`.
    pub(super) fn new(stock: Option<&Profile>, sample_types: &[(&str, &str)]) -> Self {
        let profile = stock.map(tables).unwrap_or_default();
        let next_location = 1 + profile.location.iter().map(|it| it.id).max().unwrap_or(0);
        let next_function = 1 + profile.function.iter().map(|it| it.id).max().unwrap_or(0);
        let mut graft = Self {
            profile,
            strings: HashMap::new(),
            named: HashMap::new(),
            samples: HashMap::new(),
            next_location,
            next_function,
        };
        if graft.profile.string_table.is_empty() {
            push_string(&mut graft.profile, String::new());
        }
        let types: Vec<_> = sample_types.iter().map(|typ| graft.value_type(typ)).collect();
        graft.profile.default_sample_type = types.last().map_or(0, |typ| typ.r#type);
        graft.profile.period_type = types.last().copied();
        graft.profile.period = 1;
        graft.profile.sample_type = types;
        graft
    }

    /// The location of a frame that is no code.
    pub(super) fn named(&mut self, name: &str) -> u64 {
        if let Some(id) = self.named.get(name) {
            return *id;
        }
        let text = self.string(name);
        let (id, function) = (self.next_location, self.next_function);
        self.next_location += 1;
        self.next_function += 1;
        let system_name = text;
        let named = Function { id: function, name: text, system_name, ..Function::default() };
        let line = Line { function_id: function, ..Line::default() };
        self.profile.function.push(named);
        self.profile.location.push(Location { id, line: vec![line], ..Location::default() });
        self.named.insert(name.to_owned(), id);
        id
    }

    /// Adds to the values of these locations, leaf first, with these labels; labels are the
    /// stock's.
    pub(super) fn sample(&mut self, locations: Vec<u64>, labels: Vec<Label>, values: &[u64]) {
        let values = values.iter().map(|value| i64::try_from(*value).unwrap_or(i64::MAX));
        let key = (locations, labels);
        if let Some(index) = self.samples.get(&key) {
            let known = &mut self.profile.sample[*index].value;
            known.iter_mut().zip(values).for_each(|(sum, more)| *sum = sum.saturating_add(more));
            return;
        }
        let (location_id, label) = key.clone();
        self.samples.insert(key, self.profile.sample.len());
        self.profile.sample.push(Sample { location_id, value: values.collect(), label });
    }

    /// The profile; `None` if it has no samples.
    pub(super) fn finish(self) -> Option<Profile> {
        Some(self.profile).filter(|profile| !profile.sample.is_empty())
    }

    fn value_type(&mut self, (name, unit): &(&str, &str)) -> ValueType {
        ValueType { r#type: self.string(name), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = push_string(&mut self.profile, text.to_owned());
        self.strings.insert(text.to_owned(), id);
        id
    }
}

/// What samples refer to, without the samples.
fn tables(stock: &Profile) -> Profile {
    let mapping: Vec<Mapping> = stock.mapping.clone();
    Profile {
        mapping,
        location: stock.location.clone(),
        function: stock.function.clone(),
        string_table: stock.string_table.clone(),
        ..Profile::default()
    }
}
