//! A control group with little memory, where this process may make one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// A group below our own, of version 2 or 1, with so much memory and no swap; none without
    /// the right to, which is usual outside of containers.
    pub(crate) fn create(bytes: u64) -> Option<Cgroup> {
        let name = format!("flambeau-deaths-{}", std::process::id());
        let versions = [("/sys/fs/cgroup", "", V2), ("/sys/fs/cgroup/memory", "memory", V1)];
        versions.into_iter().find_map(|(root, controller, files)| {
            let group = Path::new(root).join(own_path(controller)?).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Cgroup(group);
            group.set(files.memory, &bytes.to_string()).ok()?;
            // Kernels without accounting of swap have no such file.
            let _ = group.set(files.swap.0, &swap_of(files, bytes));
            Some(group)
        })
    }

    /// Moves a process into it.
    pub(crate) fn add(&self, pid: u32) {
        self.set("cgroup.procs", &pid.to_string()).expect("a group of our own");
    }

    /// Sets what the kernel has a file for. Never makes one: where no control groups are
    /// mounted, a limit would be a mere file, and the child would eat all memory there is.
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(file))?.write_all(value.as_bytes())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes are dead; if one is not, the group stays.
        let _ = fs::remove_dir(&self.0);
    }
}

#[derive(Clone, Copy)]
struct Files {
    memory: &'static str,
    /// The file, and whether its number includes memory.
    swap: (&'static str, bool),
}

const V2: Files = Files { memory: "memory.max", swap: ("memory.swap.max", false) };
const V1: Files =
    Files { memory: "memory.limit_in_bytes", swap: ("memory.memsw.limit_in_bytes", true) };

fn swap_of(files: Files, bytes: u64) -> String {
    if files.swap.1 { bytes.to_string() } else { "0".to_owned() }
}

/// Our own group's path below the root, in the hierarchy of that controller.
fn own_path(controller: &str) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let is_it = controllers.split(',').any(|known| known == controller);
        is_it.then(|| path.trim_start_matches('/').to_owned())
    })
}
