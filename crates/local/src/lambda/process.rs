//! A process group: started, stopped, continued, ended, never outliving us.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::log_tail::LogTail;

/// A running program and whatever it started, as one group.
///
/// A thread of its own starts the program and waits for it. That thread lives exactly as long
/// as the program, which makes the parent-death signal (bound to the starting *thread* by
/// Linux) mean what it should: whoever kills us kills the function, frozen or not.
pub(super) struct ProcessGroup(Arc<GroupId>);

/// The id of a process group, through which it is signalled while it is ours.
pub(super) struct GroupId {
    leader: libc::pid_t,
    /// True once the leader is reaped: its id may then belong to somebody else.
    reaped: Mutex<bool>,
}

impl ProcessGroup {
    /// Starts `command`; `on_exit` runs once, on the waiting thread, when it has ended.
    pub(super) async fn start(
        mut command: Command,
        logs: LogTail,
        echo: bool,
        on_exit: impl FnOnce(ExitStatus) + Send + 'static,
    ) -> io::Result<Self> {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent's memory.
        unsafe { command.pre_exec(die_with_parent) };
        let (started, start) = oneshot::channel();
        thread::Builder::new().name("function-wait".into()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            follow_output(&mut child, &logs, echo);
            let group = Arc::new(GroupId {
                // A pid is positive and below 2^22 on Linux.
                leader: child.id() as libc::pid_t,
                reaped: Mutex::new(false),
            });
            drop(started.send(Ok(Self(Arc::clone(&group)))));
            on_exit(group.wait(&mut child));
        })?;
        start.await.unwrap_or_else(|_| Err(io::Error::other("starting thread ended")))
    }

    /// The group's id, for those who watch it.
    pub(super) fn id(&self) -> Arc<GroupId> {
        Arc::clone(&self.0)
    }

    /// Stops every process of the group where it stands.
    pub(super) fn freeze(&self) {
        self.0.signal(libc::SIGSTOP);
    }

    /// Lets a stopped group run on.
    pub(super) fn thaw(&self) {
        self.0.signal(libc::SIGCONT);
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        self.0.signal(libc::SIGTERM);
    }

    /// Ends the group, stopped or not.
    pub(super) fn kill(&self) {
        self.0.kill();
    }
}

impl GroupId {
    /// Ends the group, stopped or not.
    pub(super) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Resident memory of the group's leader in bytes, from `/proc/{pid}/statm`; `None` once
    /// it is gone.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.leader)).ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        // SAFETY: takes a plain integer.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Some(pages.saturating_mul(u64::try_from(page).unwrap_or(4096)))
    }

    /// Waits for the leader, ends what is left of its group, and only then reaps it, so that
    /// the group's id cannot be reused under a signal of ours.
    fn wait(&self, child: &mut Child) -> ExitStatus {
        wait_unreaped(child.id());
        let mut reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the leader is a zombie of ours, so the group's id is still ours.
        unsafe { libc::kill(-self.leader, libc::SIGKILL) };
        let status = child.wait();
        *reaped = true;
        status.unwrap_or_else(|_| ExitStatus::from_raw(libc::SIGKILL))
    }

    fn signal(&self, signal: libc::c_int) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // SAFETY: a plain system call; the unreaped leader keeps the group's id ours.
            unsafe { libc::kill(-self.leader, signal) };
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes plain integers.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn follow_output(child: &mut Child, logs: &LogTail, echo: bool) {
    if let Some(stdout) = child.stdout.take() {
        logs.follow(stdout, echo);
    }
    if let Some(stderr) = child.stderr.take() {
        logs.follow(stderr, echo);
    }
}

fn wait_unreaped(pid: u32) {
    loop {
        // SAFETY: siginfo_t is plain data, valid as zeroes, and written by the kernel only.
        let result = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        let interrupted =
            result != 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if !interrupted {
            return;
        }
    }
}
