//! Ways for a process to die, and what its log lost: nothing.
//!
//! A child samples and says on a pipe, after each sample, that it was written.
//! When it is dead, each sample it spoke of must be in a snapshot that it acknowledged or in the
//! file it left, once, and no other.
//!
//! A program of its own, because the process that dies is this one, started again. The log is
//! private to the SDK, so its very files are compiled in. `DEATHS_RUNS` says how often each
//! death is died (default 3); an argument picks deaths by name.
#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod witness;

// What is not used here is used in the SDK, and tested there.
#[allow(unused)]
#[path = "../../src/context.rs"]
mod context;
#[allow(unused)]
#[cfg(target_os = "linux")]
#[path = "../../src/log/mod.rs"]
mod log;
#[allow(unused)]
#[cfg(target_os = "linux")]
#[path = "../../src/mappings.rs"]
mod mappings;
#[allow(unused, unreachable_pub)]
#[path = "../../src/names.rs"]
mod names;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: there is a sample log on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [marker, folder, writer, way, after] = &arguments[..]
        && marker == CHILD
    {
        let writer = Writer::ALL.into_iter().find(|known| known.name() == writer);
        let way = Way::ALL.into_iter().find(|known| known.name() == way);
        let (writer, way) = (writer.expect("a writer of ours"), way.expect("a way of ours"));
        child::live_and_die(folder.as_ref(), writer, way, after.parse().expect("a number"));
    }
    // Of the test harness's own flags none means anything here, and a list has one entry.
    if arguments.iter().any(|argument| argument == "--list") {
        return println!("deaths: test");
    }
    let wanted: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for way in Way::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| way.name().contains(*wanted)) {
            Writer::ALL.into_iter().for_each(|writer| parent::die_often(writer, way));
        }
    }
}

/// The first argument of a child.
#[cfg(target_os = "linux")]
const CHILD: &str = "--die";

/// Who writes the log.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Log,
    Engine,
}

#[cfg(target_os = "linux")]
impl Writer {
    const ALL: [Writer; 2] = [Writer::Log, Writer::Engine];

    fn name(self) -> &'static str {
        match self {
            Writer::Log => "log",
            Writer::Engine => "engine",
        }
    }

    /// Most samples before the end: the kernel's timers are slower than we.
    fn samples(self) -> u64 {
        match self {
            Writer::Log => 20_000,
            Writer::Engine => 50,
        }
    }
}

/// How to die.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Kill,
    Segfault,
    Abort,
    Panic,
    Exit,
    StackOverflow,
    Term,
    LoopThenKill,
    OutOfMemory,
}

#[cfg(target_os = "linux")]
impl Way {
    const ALL: [Way; 9] = [
        Way::Kill,
        Way::Segfault,
        Way::Abort,
        Way::Panic,
        Way::Exit,
        Way::StackOverflow,
        Way::Term,
        Way::LoopThenKill,
        Way::OutOfMemory,
    ];

    fn name(self) -> &'static str {
        match self {
            Way::Kill => "kill",
            Way::Segfault => "segfault",
            Way::Abort => "abort",
            Way::Panic => "panic",
            Way::Exit => "exit",
            Way::StackOverflow => "stack-overflow",
            Way::Term => "term",
            Way::LoopThenKill => "loop-then-kill",
            Way::OutOfMemory => "out-of-memory",
        }
    }
}

#[cfg(target_os = "linux")]
mod parent {
    use std::hash::{BuildHasher, RandomState};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::Path;
    use std::process::{Command, ExitStatus, Stdio};

    use super::cgroup::Cgroup;
    use super::log::find_dead;
    use super::witness::Heard;
    use super::{CHILD, Way, Writer};

    /// Memory of a child that is to run out of it.
    const MEMORY: u64 = 64 << 20;

    /// Dies one death several times, and tells.
    pub(crate) fn die_often(writer: Writer, way: Way) {
        let runs = std::env::var("DEATHS_RUNS").ok().and_then(|runs| runs.parse().ok());
        let cgroup = match way {
            Way::OutOfMemory => Cgroup::create(MEMORY),
            _ => None,
        };
        let (mut witnessed, mut more) = (0, 0);
        for _ in 0..runs.unwrap_or(3) {
            let (heard, unwitnessed) = die(writer, way, cgroup.as_ref());
            witnessed += heard;
            more += unwitnessed;
        }
        let how = match (way, &cgroup) {
            (Way::OutOfMemory, None) => {
                "; skipped the kernel's OOM killer: no cgroup can be made here; \
                 the allocator ran into RLIMIT_AS instead"
            }
            _ => "",
        };
        let (writer, name) = (writer.name(), way.name());
        println!("{writer}, {name}: {witnessed} witnessed, 0 lost, {more} more in the file{how}");
    }

    /// One death; gives the samples witnessed and those only in the file.
    fn die(writer: Writer, way: Way, cgroup: Option<&Cgroup>) -> (usize, usize) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let after = 1 + RandomState::new().hash_one(0) % writer.samples();
        let mut command = child(folder.path(), writer, way, after);
        // Also in a cgroup, in case it does not hold: never the machine's memory.
        limit_address_space(&mut command);
        let mut process = command.spawn().expect("ourselves, once more");
        if let Some(cgroup) = cgroup {
            cgroup.add(process.id());
        }
        // Only now: all it does from here on, it does in its cgroup.
        drop(process.stdin.take());
        let pid = libc::pid_t::try_from(process.id()).expect("a pid");
        let pipe = process.stdout.take().expect("a pipe");
        let signal = match way {
            Way::Kill | Way::LoopThenKill => Some(libc::SIGKILL),
            Way::Term => Some(libc::SIGTERM),
            _ => None,
        };
        let heard = Heard::listen(pipe, || {
            if let Some(signal) = signal {
                // SAFETY: a child of ours that was not waited for, so its pid is its own.
                unsafe { libc::kill(pid, signal) };
            }
        });
        let heard = heard.expect("a pipe");
        let status = process.wait().expect("a child of ours");
        assert_death(way, cgroup.is_some(), status);
        let mut found = find_dead(folder.path()).expect("a folder of our own");
        assert_eq!((found.logs.len(), found.held), (1, 0), "{way:?} after {after}");
        let dead = found.logs.remove(0).read().expect("a log");
        match writer {
            Writer::Log => (heard.written.len(), heard.check(&dead)),
            Writer::Engine => (heard.sampled as usize, heard.check_engine(&dead)),
        }
    }

    /// The child waits for its standard input's end before it begins.
    fn child(folder: &Path, writer: Writer, way: Way, after: u64) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.arg(CHILD).arg(folder).args([writer.name(), way.name(), &after.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn limit_address_space(command: &mut Command) {
        // Threads' stacks and arenas are address space too, though not memory.
        let limit = libc::rlimit { rlim_cur: MEMORY * 16, rlim_max: MEMORY * 16 };
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }

    /// That it died as it should have, not of something else.
    fn assert_death(way: Way, by_cgroup: bool, status: ExitStatus) {
        let (signals, code): (&[libc::c_int], _) = match way {
            Way::Kill | Way::LoopThenKill => (&[libc::SIGKILL], None),
            Way::Segfault => (&[libc::SIGSEGV], None),
            Way::Abort => (&[libc::SIGABRT], None),
            // Rust's own handler aborts; a signal for which there is no stack left faults.
            Way::StackOverflow => (&[libc::SIGABRT, libc::SIGSEGV], None),
            Way::Panic => (&[], Some(101)),
            Way::Exit => (&[], Some(3)),
            Way::Term => (&[libc::SIGTERM], None),
            Way::OutOfMemory if by_cgroup => (&[libc::SIGKILL], None),
            Way::OutOfMemory => (&[libc::SIGABRT], None),
        };
        let as_it_should = match status.signal() {
            Some(signal) => signals.contains(&signal),
            None => code.is_some() && status.code() == code,
        };
        assert!(as_it_should, "{way:?} ended by {status}");
    }
}
