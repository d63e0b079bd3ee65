//! The judge: a process of `tests/oracle`, asked one question at a time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

/// Asks google/pprof. `None`, with a word on stderr, where there is no Go.
pub fn judge() -> Option<&'static Judge> {
    static JUDGE: OnceLock<Option<Judge>> = OnceLock::new();
    JUDGE.get_or_init(Judge::start).as_ref()
}

pub struct Judge(Mutex<Pipes>);

struct Pipes {
    child: Child,
    replies: BufReader<std::process::ChildStdout>,
}

/// What to ask; see `tests/oracle/README.md`.
#[derive(Default)]
pub struct Question<'a> {
    pub op: &'a str,
    pub inputs: &'a [Vec<u8>],
    pub bases: &'a [Vec<u8>],
    pub options: BTreeMap<&'a str, &'a str>,
}

/// The canonical text of the result, or why there is none.
pub type Answer = Result<String, String>;

impl Judge {
    fn start() -> Option<Judge> {
        let Some(program) = build() else {
            // Not by eprintln!, which the test harness keeps to itself.
            let word = b"SKIPPED: Go is not installed, so google/pprof cannot judge\n";
            std::io::stderr().write_all(word).expect("a stderr");
            return None;
        };
        let mut child = Command::new(&program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let replies = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Some(Judge(Mutex::new(Pipes { child, replies })))
    }

    /// Answers with the canonical text.
    pub fn ask(&self, question: &Question<'_>) -> Answer {
        let reply = self.exchange(&json!({
            "op": question.op,
            "inputs": encoded(question.inputs),
            "bases": encoded(question.bases),
            "options": question.options,
            "want": ["text"],
        }));
        match reply["ok"].as_bool() {
            Some(true) => Ok(reply["text"].as_str().expect("a text").to_owned()),
            _ => Err(reply["error"].as_str().expect("an error").to_owned()),
        }
    }

    /// The canonical text of one profile as it stands.
    pub fn text(&self, profile: Vec<u8>) -> Answer {
        self.ask(&Question { op: "check", inputs: &[profile], ..Question::default() })
    }

    fn exchange(&self, request: &Value) -> Value {
        let mut pipes = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let stdin = pipes.child.stdin.as_mut().expect("a piped stdin");
        stdin.write_all(format!("{request}\n").as_bytes()).expect("the oracle listens");
        stdin.flush().expect("the oracle listens");
        let mut line = String::new();
        pipes.replies.read_line(&mut line).expect("the oracle answers");
        serde_json::from_str(&line).expect("an answer in JSON")
    }
}

fn encoded(profiles: &[Vec<u8>]) -> Vec<String> {
    profiles.iter().map(|p| base64_simd::STANDARD.encode_to_string(p)).collect()
}

/// Builds the oracle; Go caches, so this is quick the second time.
fn build() -> Option<PathBuf> {
    Command::new("go").arg("version").stdout(Stdio::null()).status().ok()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&source)
        .status()
        .expect("go runs");
    assert!(built.success(), "cannot build {}: see above", source.display());
    Some(program)
}
