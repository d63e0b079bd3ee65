//! A small builder of profiles, shared by tests.
#![allow(dead_code, unreachable_pub, missing_docs)]

use flambeau_profile::proto::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};

/// Builds profiles by name; ids are given as things are first named.
#[derive(Clone, Default)]
pub struct Builder {
    pub profile: Profile,
}

impl Builder {
    pub fn new(types: &[(&str, &str)]) -> Self {
        let mut b = Builder::default();
        b.string("");
        for (typ, unit) in types {
            let typ = ValueType { r#type: b.string(typ), unit: b.string(unit) };
            b.profile.sample_type.push(typ);
        }
        b
    }

    pub fn cpu() -> Self {
        Builder::new(&[("samples", "count"), ("cpu", "nanoseconds")])
    }

    pub fn string(&mut self, text: &str) -> i64 {
        let table = &mut self.profile.string_table;
        let at = table.iter().position(|s| s == text).unwrap_or_else(|| {
            table.push(text.to_owned());
            table.len() - 1
        });
        at as i64
    }

    pub fn function(&mut self, name: &str) -> u64 {
        let text = self.string(name);
        let functions = &mut self.profile.function;
        if let Some(f) = functions.iter().find(|f| f.name == text) {
            return f.id;
        }
        let id = functions.len() as u64 + 1;
        functions.push(Function { id, name: text, system_name: text, ..Function::default() });
        id
    }

    /// A location without mapping, one line of the function.
    pub fn location(&mut self, name: &str) -> u64 {
        let function_id = self.function(name);
        let line = Line { function_id, line: 7, column: 0 };
        let locations = &mut self.profile.location;
        if let Some(l) = locations.iter().find(|l| l.line == [line]) {
            return l.id;
        }
        let id = locations.len() as u64 + 1;
        locations.push(Location { id, line: vec![line], ..Location::default() });
        id
    }

    pub fn mapping(&mut self, start: u64, limit: u64, file: &str, build_id: &str) -> u64 {
        let id = self.profile.mapping.len() as u64 + 1;
        let mapping = Mapping {
            id,
            memory_start: start,
            memory_limit: limit,
            filename: self.string(file),
            build_id: self.string(build_id),
            ..Mapping::default()
        };
        self.profile.mapping.push(mapping);
        id
    }

    /// A sample of `stack`, leaf first.
    pub fn sample(&mut self, stack: &[&str], values: &[i64]) -> &mut Self {
        self.labelled(stack, values, &[])
    }

    pub fn labelled(
        &mut self,
        stack: &[&str],
        values: &[i64],
        labels: &[(&str, &str)],
    ) -> &mut Self {
        let location_id = stack.iter().map(|f| self.location(f)).collect();
        let label = labels
            .iter()
            .map(|(k, v)| Label { key: self.string(k), str: self.string(v), ..Label::default() })
            .collect();
        self.profile.sample.push(Sample { location_id, value: values.to_vec(), label });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        flambeau_profile::encode(&self.profile)
    }
}

/// One profile's samples as readable lines, sorted: `root;…;leaf {k=v} [values]`.
pub fn lines(merged: &flambeau_profile::Merged) -> Vec<String> {
    let mut lines: Vec<String> = merged
        .samples()
        .map(|s| {
            let names: Vec<_> = s.frames().rev().map(|f| f.name().to_owned()).collect();
            let labels: Vec<_> = s.labels().map(|l| format!("{}={:?}", l.key, l.value)).collect();
            format!("{} {{{}}} {:?}", names.join(";"), labels.join(","), s.values())
        })
        .collect();
    lines.sort();
    lines
}
