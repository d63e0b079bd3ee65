//! Profiles to look at: the corpus, and ones made for a test.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::path::Path;

use flambeau_profile::{
    Limits, Merged, encode,
    proto::{Function, Line, Location, Mapping, Profile, Sample, ValueType},
};

pub fn corpus(name: &str) -> Merged {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let bytes = std::fs::read(folder.join(name)).unwrap();
    Merged::from_bytes(&bytes, &Limits::default()).unwrap()
}

/// Every good profile of the corpus, by name.
pub fn whole_corpus() -> Vec<(String, Merged)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pb") || name.ends_with(".gz"))
        .filter(|name| !name.starts_with("bad-"))
        .collect();
    names.sort();
    assert!(names.len() > 20, "the corpus has {} files", names.len());
    names.into_iter().map(|name| (name.clone(), corpus(&name))).collect()
}

/// A profile by stacks (root first, as positions of names) and values.
#[derive(Debug, Clone)]
pub struct Made {
    pub names: Vec<Vec<u8>>,
    pub units: (Vec<u8>, Vec<u8>),
    pub samples: Vec<(Vec<usize>, i64)>,
}

const MARK: usize = 12;

impl Made {
    /// Names go in behind the encoder's back: they need not be UTF-8.
    pub fn merged(&self) -> Merged {
        let texts: Vec<&Vec<u8>> =
            self.names.iter().chain([&self.units.0, &self.units.1]).collect();
        let mark = |at: usize| format!("name-{at:0width$}", width = MARK - 5);
        let mut string_table = vec![String::new()];
        string_table.extend((0..texts.len()).map(mark));
        let count = self.names.len() as i64;
        let function = |at: i64| Function {
            id: at as u64 + 1,
            name: at + 1,
            filename: (at + 1) % count + 1,
            ..Function::default()
        };
        let line = |function_id: u64| Line { function_id, line: 3, column: 0 };
        let location = |at: i64| {
            let id = at as u64 + 1;
            // Every other location has an inlined call in it.
            let inlined = (at % 2 == 1).then(|| line(at as u64));
            let line = inlined.into_iter().chain([line(id)]).collect();
            Location { id, mapping_id: 1, address: id, line, ..Location::default() }
        };
        let sample = |(stack, value): &(Vec<usize>, i64)| Sample {
            location_id: stack.iter().rev().map(|at| *at as u64 + 1).collect(),
            value: vec![*value],
            ..Sample::default()
        };
        let profile = Profile {
            sample_type: vec![ValueType { r#type: count + 1, unit: count + 2 }],
            mapping: vec![Mapping { id: 1, filename: 1, ..Mapping::default() }],
            function: (0..count).map(function).collect(),
            location: (0..count).map(location).collect(),
            sample: self.samples.iter().map(sample).collect(),
            string_table,
            ..Profile::default()
        };
        let mut bytes = encode(&profile);
        for (at, text) in texts.iter().enumerate() {
            let mut text = (*text).clone();
            text.resize(MARK, b'.');
            let mark = mark(at).into_bytes();
            let place = bytes.windows(MARK).position(|window| window == mark).unwrap();
            bytes[place..place + MARK].copy_from_slice(&text);
        }
        Merged::from_bytes(&bytes, &Limits::default()).unwrap()
    }
}
