//! Odd but valid profiles: few names and addresses, so that much of them
//! collides, in every shape that the format allows.

use flambeau_profile::proto::{
    Function, Label, Line, Location, Mapping, Profile, Sample, ValueType,
};

use flambeau_random::Random;

const NAMES: &[&str] = &[
    "main.main",
    "main.serve",
    "main.parse",
    "server.Go",
    "std::vec<int, A>::push",
    "",
    "größe",
    "<b>&amp;</b>",
    "a;b c",
    "operator()",
    "(anonymous namespace)::f(int)",
    "main.\u{202e}x\n",
];
const FILES: &[&str] = &["", "main.go", "src/lib.rs", "<script>", "main.parse"];
const KEYS: &[&str] =
    &["tenant", "handler", "bytes", "request", "latency", "", "a b", "pprof::base"];
const TEXTS: &[&str] = &["acme", "globex", "true", "index", "a,b", "x=y", "32kb", "größe"];
const UNITS: &[&str] = &["", "bytes", "kilobytes", "ms", "seconds", "count", "widgets"];
const COMMENTS: &[&str] = &["first", "second", "build 7", ""];
const TYPES: &[&[(&str, &str)]] = &[
    &[("samples", "count"), ("cpu", "nanoseconds")],
    &[("inuse_space", "bytes")],
    &[("a", "count"), ("b", "count"), ("a", "count")],
    &[("", "")],
];
const PERIOD_TYPES: &[Option<(&str, &str)>] =
    &[Some(("cpu", "nanoseconds")), None, Some(("space", ""))];
/// Size, file offset, file, build id; the flags go with the kind.
const MAPPINGS: &[(u64, u64, &str, &str, bool)] = &[
    (0x10_0000, 0, "/opt/server", "b0b0", true),
    (0x10_0000, 0, "/opt/server", "cafe", false),
    (0x2_1000, 0x2000, "/lib/libm.so.6", "", false),
    (0, 0, "", "", true),
    (0x1f00, 0x1000, "[vdso]", "", false),
];

/// What the inputs of one case have in common, so that they can be merged.
pub struct Kind {
    types: &'static [(&'static str, &'static str)],
    period: Option<(&'static str, &'static str)>,
    headers: bool,
}

impl Kind {
    pub fn any(rng: &mut Random) -> Kind {
        let (types, period) = (*rng.pick(TYPES), *rng.pick(PERIOD_TYPES));
        Kind { types, period, headers: rng.percent(30) }
    }

    /// One profile of this kind; rarely, one that does not go with the others.
    pub fn profile(&self, rng: &mut Random) -> Profile {
        let mut types = self.types;
        if rng.percent(2) {
            types = *rng.pick(TYPES);
        }
        let mut maker = Maker::new(rng);
        maker.tables();
        maker.types(types);
        maker.samples(types.len());
        maker.header(self);
        maker.p
    }
}

struct Maker<'a> {
    rng: &'a mut Random,
    p: Profile,
}

impl<'a> Maker<'a> {
    fn new(rng: &'a mut Random) -> Self {
        let p = Profile { string_table: vec![String::new()], ..Profile::default() };
        Maker { rng, p }
    }

    /// An index of the string; now and then a fresh one of a string that is
    /// there already.
    fn string(&mut self, text: &str) -> i64 {
        let table = &mut self.p.string_table;
        let known = table.iter().position(|s| s == text);
        let at = match known {
            Some(at) if !self.rng.percent(4) => at,
            _ => {
                table.push(text.to_owned());
                table.len() - 1
            }
        };
        at as i64
    }

    fn some_string(&mut self, from: &[&str]) -> i64 {
        let text = *self.rng.pick(from);
        self.string(text)
    }

    fn tables(&mut self) {
        for i in 0..self.rng.below(4) {
            let mapping = self.mapping(i);
            self.p.mapping.push(mapping);
        }
        for i in 0..1 + self.rng.below(7) {
            let function = self.function(i);
            self.p.function.push(function);
        }
        for i in 0..1 + self.rng.below(10) {
            let location = self.location(i);
            self.p.location.push(location);
        }
    }

    /// Dense, sparse or huge, but never the same for another position.
    fn id(&mut self, position: usize) -> u64 {
        let position = position as u64 + 1;
        match self.rng.below(20) {
            0 => u64::MAX - position,
            1 => position << 40,
            2 => position * 1000,
            _ => position,
        }
    }

    fn mapping(&mut self, position: usize) -> Mapping {
        let (size, file_offset, file, build_id, flags) = *self.rng.pick(MAPPINGS);
        let memory_start = *self.rng.pick(&[0x40_0000, 0x7f00_0000_1000, 0x55aa_0000_0000, 0]);
        Mapping {
            id: self.id(position),
            memory_start,
            memory_limit: memory_start + size,
            file_offset,
            filename: self.string(file),
            build_id: self.string(build_id),
            has_functions: flags,
            has_filenames: flags,
            has_line_numbers: flags,
            has_inline_frames: false,
        }
    }

    fn function(&mut self, position: usize) -> Function {
        let name = self.some_string(NAMES);
        let system_name = if self.rng.percent(80) { name } else { self.some_string(NAMES) };
        let filename = self.some_string(FILES);
        let start_line = *self.rng.pick(&[0, 0, 0, 10, -1]);
        Function { id: self.id(position), name, system_name, filename, start_line }
    }

    fn location(&mut self, position: usize) -> Location {
        let mapping = self.rng.below(self.p.mapping.len() + 2);
        let (mapping_id, start) = match self.p.mapping.get(mapping) {
            Some(m) => (m.id, m.memory_start),
            None => (*self.rng.pick(&[0, 0, 777]), 0),
        };
        let offset = *self.rng.pick(&[0u64, 0x10, 0x20, 0x20, 0xfff0, u64::MAX]);
        let mut line = Vec::new();
        for _ in 0..*self.rng.pick(&[0, 1, 1, 1, 1, 2, 3]) {
            let function_id = self.p.function[self.rng.below(self.p.function.len())].id;
            let column = *self.rng.pick(&[0, 0, 0, 1, 2]);
            line.push(Line { function_id, line: *self.rng.pick(&[0, 7, 8, -3]), column });
        }
        Location {
            id: self.id(position),
            mapping_id,
            address: start.wrapping_add(offset),
            line,
            is_folded: self.rng.percent(5),
        }
    }

    fn types(&mut self, types: &[(&str, &str)]) {
        for &(typ, unit) in types {
            let value_type = ValueType { r#type: self.string(typ), unit: self.string(unit) };
            self.p.sample_type.push(value_type);
        }
    }

    fn samples(&mut self, types: usize) {
        for _ in 0..self.rng.below(13) {
            let depth = *self.rng.pick(&[0, 1, 1, 2, 2, 3, 3, 6]);
            let locations = &self.p.location;
            let location_id =
                (0..depth).map(|_| locations[self.rng.below(locations.len())].id).collect();
            let value = (0..types).map(|_| self.value()).collect();
            let mut label = Vec::new();
            for _ in 0..*self.rng.pick(&[0, 0, 0, 1, 1, 2, 3]) {
                label.push(self.label());
            }
            self.p.sample.push(Sample { location_id, value, label });
        }
    }

    fn value(&mut self) -> i64 {
        match self.rng.below(60) {
            0 => i64::MAX / 64,
            1 => i64::MIN / 64,
            2..10 => 0,
            n => *self.rng.pick(&[1, 2, 3, -1, -2, 1000]) * n as i64,
        }
    }

    fn label(&mut self) -> Label {
        let key = self.some_string(KEYS);
        if self.rng.percent(50) {
            return Label { key, str: self.some_string(TEXTS), ..Label::default() };
        }
        let num = *self.rng.pick(&[0, 1, 32, 512, 1024, -1, i64::MAX, i64::MIN]);
        let num_unit = self.some_string(UNITS);
        // Both at once: the text wins.
        let str = if self.rng.percent(5) { self.some_string(TEXTS) } else { 0 };
        Label { key, str, num, num_unit }
    }

    fn header(&mut self, kind: &Kind) {
        if let Some((typ, unit)) = kind.period {
            let period_type = ValueType { r#type: self.string(typ), unit: self.string(unit) };
            self.p.period_type = Some(period_type);
        }
        self.p.period = *self.rng.pick(&[0, 1, 10_000_000, 2_000_000]);
        self.p.time_nanos = *self.rng.pick(&[0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000]);
        self.p.duration_nanos = *self.rng.pick(&[0, 1_000_000_000, -5, 77]);
        if kind.headers {
            for _ in 0..self.rng.below(4) {
                let comment = self.some_string(COMMENTS);
                self.p.comment.push(comment);
            }
            self.p.default_sample_type = self.some_string(&["", "cpu", "samples", "nonsense"]);
            self.p.doc_url = self.some_string(&["", "https://example.org/a", "b"]);
            self.p.keep_frames = self.some_string(&["", "main\\..*"]);
            self.p.drop_frames = self.some_string(&["", "runtime\\..*"]);
        }
    }
}
