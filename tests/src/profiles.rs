//! Profiles whose totals are known beforehand.

use flambeau_profile::{
    encode_gzip,
    proto::{Function, Line, Location, Mapping, Profile, Sample, ValueType},
};

/// Strings of a profile under construction; 0 is empty, as pprof demands.
struct Strings(Vec<String>);

impl Strings {
    fn id(&mut self, text: &str) -> i64 {
        let found = self.0.iter().position(|known| known == text);
        let index = found.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        i64::try_from(index).unwrap_or(i64::MAX)
    }
}

/// A CPU profile of `main` calling `worker_{i}`, one sample per entry of
/// `nanos`; sample types `samples/count` and `cpu/nanoseconds`.
#[must_use]
pub fn cpu(nanos: &[i64], time_nanos: i64) -> Profile {
    let mut strings = Strings(vec![String::new()]);
    let measure = |strings: &mut Strings, typ: &str, unit: &str| ValueType {
        r#type: strings.id(typ),
        unit: strings.id(unit),
    };
    let sample_type = vec![
        measure(&mut strings, "samples", "count"),
        measure(&mut strings, "cpu", "nanoseconds"),
    ];
    let period_type = Some(measure(&mut strings, "cpu", "nanoseconds"));
    let filename = strings.id("/app/bootstrap");
    let mapping = Mapping { id: 1, filename, has_functions: true, ..Default::default() };
    let count = nanos.len() as u64;
    let mut name = |id: u64| {
        if id == 1 { strings.id("main") } else { strings.id(&format!("worker_{}", id - 2)) }
    };
    let function =
        (1..=count + 1).map(|id| Function { id, name: name(id), ..Default::default() }).collect();
    let location = (1..=count + 1)
        .map(|id| Location {
            id,
            mapping_id: 1,
            line: vec![Line { function_id: id, line: 1, column: 0 }],
            ..Default::default()
        })
        .collect();
    let sample = (2..)
        .zip(nanos)
        .map(|(leaf, value)| Sample {
            location_id: vec![leaf, 1],
            value: vec![1, *value],
            ..Default::default()
        })
        .collect();
    Profile {
        sample_type,
        sample,
        mapping: vec![mapping],
        location,
        function,
        string_table: strings.0,
        time_nanos,
        duration_nanos: 1_000_000_000,
        period_type,
        period: 10_000_000,
        ..Default::default()
    }
}

/// [`cpu`], encoded.
#[must_use]
pub fn cpu_gzip(nanos: &[i64], time_nanos: i64) -> Vec<u8> {
    encode_gzip(&cpu(nanos, time_nanos))
}
