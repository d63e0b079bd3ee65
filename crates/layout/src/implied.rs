//! Which profile type a pprof is, when nobody says.

use flambeau_profile::Header;

use crate::name::ProfileType;

/// The one table: a sample type of this name implies this profile type. The
/// first row that matches any of a profile's sample types wins. Go's mutex and
/// block profiles look the same; only their file's name can tell them apart.
const IMPLIED: &[(&str, &str)] = &[
    ("billed", "billed"),
    ("cpu", "cpu"),
    ("wall", "wall"),
    ("itimer", "cpu"),
    ("inuse_space", "heap"),
    ("inuse_objects", "heap"),
    ("alloc_space", "heap"),
    ("alloc_objects", "heap"),
    ("goroutine", "goroutine"),
    ("goroutines", "goroutine"),
    ("contentions", "mutex"),
    ("delay", "mutex"),
    ("lock", "mutex"),
    ("threadcreate", "threadcreate"),
    ("threads", "threads"),
    ("tasks", "tasks"),
    ("spans", "spans"),
    ("samples", "cpu"),
];

/// The type that a profile's sample types imply; `hint` (a file's name, say)
/// decides between block and mutex. What no row knows is named after its first
/// sample type.
#[must_use]
pub fn implied_type(header: &Header, hint: &str) -> Option<ProfileType> {
    let has = |name: &str| header.sample_types.iter().any(|measure| measure.typ == name);
    let found = IMPLIED.iter().find(|(sample, _)| has(sample)).map(|(_, typ)| *typ);
    let typ = match found {
        Some("mutex") if hint.contains("block") => "block",
        Some(typ) => typ,
        None => &header.sample_types.first()?.typ,
    };
    ProfileType::new(typ).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flambeau_profile::ValueType;

    fn implied(types: &[&str], hint: &str) -> Option<String> {
        let sample_types = types.iter().map(|typ| ValueType::new(*typ, "count")).collect();
        let header = Header { sample_types, ..Default::default() };
        implied_type(&header, hint).map(|typ| typ.to_string())
    }

    #[test]
    fn known_profiles_are_recognised() {
        assert_eq!(implied(&["samples", "cpu"], "x").as_deref(), Some("cpu"));
        let heap = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"];
        assert_eq!(implied(&heap, "x").as_deref(), Some("heap"));
        assert_eq!(implied(&["contentions", "delay"], "go-block.pb.gz").as_deref(), Some("block"));
        assert_eq!(implied(&["contentions", "delay"], "go.pb.gz").as_deref(), Some("mutex"));
        assert_eq!(implied(&["page_faults"], "x").as_deref(), Some("page_faults"));
        assert_eq!(implied(&[], "x"), None);
    }
}
