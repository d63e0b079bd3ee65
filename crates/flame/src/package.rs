//! Which package a function belongs to, by its name: what colours follow.

/// The package of a function: Go's import path, Rust's crate, the outermost
/// namespace of C++, Java's package; the file's name where the function's says
/// nothing; empty where neither does.
///
/// A guess by the form of names, good for grouping and colours only.
#[must_use]
pub fn package(name: &str, file: &str) -> String {
    if name.starts_with('[') {
        return name.split(']').next().unwrap_or_default().trim_start_matches('[').to_owned();
    }
    let by_name = match extension(file) {
        "go" | "s" => go(name),
        "java" | "kt" | "scala" => java(name),
        _ if name.contains("::") => path(name),
        _ if name.contains('/') => go(name),
        _ => java(name),
    };
    match by_name {
        Some(package) => package.to_owned(),
        None => file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned(),
    }
}

fn extension(file: &str) -> &str {
    file.rsplit('/').next().and_then(|base| base.rsplit_once('.')).map_or("", |(_, ext)| ext)
}

/// `github.com/a/b.(*T).f` is of `github.com/a/b`: up to the first dot after
/// the last slash that stands before any bracket.
fn go(name: &str) -> Option<&str> {
    let plain = &name[..name.find(['(', '[', '{']).unwrap_or(name.len())];
    let base = plain.rfind('/').map_or(0, |at| at + 1);
    let dot = plain[base..].find('.')?;
    Some(&name[..base + dot]).filter(|package| !package.is_empty())
}

/// `java.util.HashMap.get` is of `java.util`, `java/util/HashMap.get` too.
fn java(name: &str) -> Option<&str> {
    let plain = &name[..name.find(['(', '<', '$']).unwrap_or(name.len())];
    let (class, _) = plain.rsplit_once('.')?;
    let package = class.rsplit_once(['.', '/']).map_or(class, |(package, _)| package);
    Some(package).filter(|package| !package.is_empty())
}

/// `<&alloc::vec::Vec<T> as core::iter::Iterator>::next` is of `alloc`:
/// what stands before the first `::`, behind all that is no word.
fn path(name: &str) -> Option<&str> {
    let name = name.split(" as ").next().unwrap_or(name);
    let head = &name[..name.find("::")?];
    let word = head.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(word).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::package;

    #[test]
    fn packages_of_several_languages() {
        for (name, file, expected) in [
            ("main.main", "/app/main.go", "main"),
            ("encoding/json.(*decodeState).object", "decode.go", "encoding/json"),
            ("github.com/a/b.Map[go.shape.int]", "", "github.com/a/b"),
            ("runtime.mallocgc", "malloc.go", "runtime"),
            ("serde_json::de::from_slice", "src/de.rs", "serde_json"),
            ("<&mut alloc::vec::Vec<T> as core::fmt::Debug>::fmt", "", "alloc"),
            ("void ns::f<int>(std::string)", "a.cpp", "ns"),
            ("java.util.HashMap.get", "HashMap.java", "java.util"),
            ("java/util/HashMap.get", "HashMap.java", "java/util"),
            ("malloc", "/build/libc/malloc.c", "malloc.c"),
            ("[kernel.kallsyms] 0x12", "", "kernel.kallsyms"),
            ("malloc", "", ""),
            ("", "", ""),
            (".::", "", ""),
        ] {
            assert_eq!(package(name, file), expected, "{name}");
        }
    }
}
