//! versitygw, an S3 server that shares no line with ours, as `fetch.sh` built
//! it. The test binaries that let it judge include this file by its path.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for it to listen.
const DEADLINE: Duration = Duration::from_secs(60);
/// Ports tried: another process may take one between our look and its start.
const PORTS: usize = 5;

/// A running versitygw over an empty folder of its own.
pub(crate) struct SecondS3 {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
    _dir: tempfile::TempDir,
}

impl SecondS3 {
    /// Starts it with these keys; `None`, with a word on standard error, where
    /// `fetch.sh` has not built it or the disk cannot hold what it writes.
    pub(crate) fn start(access: &str, secret: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: run tests/second-s3/fetch.sh to have a second S3 server judge");
            return None;
        };
        let mut said = String::new();
        for _ in 0..PORTS {
            match Self::try_start(&program, access, secret) {
                Ok(server) => return Some(server),
                Err(why) => said = why.to_string(),
            }
        }
        // Without extended attributes it has no place for ETags, and its
        // folder beside them is not written together with the object.
        assert!(said.contains("xattrs are not supported"), "versitygw does not start: {said}");
        eprintln!("SKIPPED: no second S3 server judges here: {}", said.trim());
        None
    }

    fn try_start(program: &Path, access: &str, secret: &str) -> io::Result<Self> {
        let dir = tempfile::tempdir_in(program.parent().unwrap_or(Path::new(".")))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .args(["--port", &address.to_string(), "--quiet", "posix"])
            .arg(dir.path())
            .env("ROOT_ACCESS_KEY_ID", access)
            .env("ROOT_SECRET_ACCESS_KEY", secret)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut server = Self { child, url: format!("http://{address}"), _dir: dir };
        server.wait_listening(address).map(|()| server)
    }

    /// Waits until it listens; fails with what it said if it ended instead.
    fn wait_listening(&mut self, address: SocketAddr) -> io::Result<()> {
        let since = Instant::now();
        loop {
            if self.child.try_wait()?.is_some() {
                let said = self.child.stderr.take().map(io::read_to_string).transpose()?;
                return Err(io::Error::other(said.unwrap_or_default()));
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            assert!(since.elapsed() < DEADLINE, "versitygw does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for SecondS3 {
    fn drop(&mut self) {
        // It has no state worth a farewell; its folder goes next.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program below `target/` of the workspace this crate lies in.
fn program() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let built = folders.map(|folder| folder.join("target/second-s3"));
    let complete = built.filter(|folder| folder.join(".complete").exists());
    complete.map(|folder| folder.join("versitygw")).find(|program| program.is_file())
}
