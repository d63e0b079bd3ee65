//! From addresses to names, files and lines, in process.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use findshlibs::{Segment, SharedLibrary, SharedLibraryId, TargetSharedLibrary};

/// Most addresses whose names are remembered between two snapshots.
const MAX_REMEMBERED: usize = 65_536;

/// One line of source, as a frame of a flame graph has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceLine {
    pub(crate) name: String,
    pub(crate) system_name: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// What one address stands for: inlined callees first, the function itself last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resolved {
    pub(crate) lines: Vec<SourceLine>,
    /// Index into the symbolizer's libraries.
    pub(crate) library: Option<usize>,
}

/// A binary or shared library mapped into this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Library {
    pub(crate) path: String,
    pub(crate) build_id: String,
    code: Vec<Range<usize>>,
}

/// Resolves addresses of this process and remembers them.
#[derive(Default)]
pub(crate) struct Symbolizer {
    libraries: Vec<Library>,
    known: HashMap<usize, Arc<Resolved>>,
}

impl Symbolizer {
    /// The libraries that [`Resolved::library`] counts, the program itself first.
    pub(crate) fn libraries(&self) -> &[Library] {
        &self.libraries
    }

    /// What the instruction before `address` stands for; never without a line.
    ///
    /// That is the call for a return address. For an interrupted instruction pass the address
    /// after its first byte.
    pub(crate) fn resolve(&mut self, address: usize) -> Arc<Resolved> {
        if let Some(known) = self.known.get(&address) {
            return Arc::clone(known);
        }
        if self.known.len() >= MAX_REMEMBERED {
            self.known.clear();
        }
        let library = self.library_of(address);
        let mut lines = Vec::new();
        backtrace::resolve(address as *mut c_void, |symbol| lines.extend(source_line(symbol)));
        if lines.is_empty() {
            lines.push(self.unnamed(library));
        }
        let resolved = Arc::new(Resolved { lines, library });
        self.known.insert(address, Arc::clone(&resolved));
        resolved
    }

    fn library_of(&mut self, address: usize) -> Option<usize> {
        let found = self.find(address);
        if found.is_some() {
            return found;
        }
        // Loaded since we last looked, or never seen. Indexes given out must stay true.
        for library in loaded_libraries() {
            if !self.libraries.contains(&library) {
                self.libraries.push(library);
            }
        }
        self.find(address)
    }

    fn find(&self, address: usize) -> Option<usize> {
        self.libraries
            .iter()
            .position(|library| library.code.iter().any(|code| code.contains(&address)))
    }

    /// Code without symbols still says whose it is.
    fn unnamed(&self, library: Option<usize>) -> SourceLine {
        let path = library.map_or("unknown", |index| self.libraries[index].path.as_str());
        let file = Path::new(path).file_name().map_or(path.into(), |name| name.to_string_lossy());
        SourceLine {
            name: format!("[{file}]"),
            system_name: String::new(),
            file: String::new(),
            line: 0,
        }
    }
}

fn source_line(symbol: &backtrace::Symbol) -> Option<SourceLine> {
    let name = symbol.name()?;
    Some(SourceLine {
        // The alternate form leaves the hash of the build out.
        name: format!("{name:#}"),
        system_name: String::from_utf8_lossy(name.as_bytes()).into_owned(),
        file: symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default(),
        line: symbol.lineno().unwrap_or(0),
    })
}

fn loaded_libraries() -> Vec<Library> {
    let mut libraries = Vec::new();
    TargetSharedLibrary::each(|library| libraries.push(describe(library)));
    libraries
}

fn describe(library: &TargetSharedLibrary<'_>) -> Library {
    let code = library.segments().filter(|segment| segment.is_code()).map(|segment| {
        let start = segment.actual_virtual_memory_address(library).0;
        start..start.saturating_add(segment.len())
    });
    Library {
        path: library.name().to_string_lossy().into_owned(),
        build_id: library.id().map(|id| build_id(&id)).unwrap_or_default(),
        code: code.collect(),
    }
}

fn build_id(id: &SharedLibraryId) -> String {
    match id {
        SharedLibraryId::GnuBuildId(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        other => other.to_string(),
    }
}
