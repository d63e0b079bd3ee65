//! What merging costs, beside what it cannot cost less than, and what
//! google/pprof takes for the same files.
//!
//!     cargo bench -p flambeau-profile [-- FOLDER]
//!
//! FOLDER (default `target/bench-corpus` of the workspace) holds `cpu` and
//! `heap`, folders of snapshots as `tests/corpus-gen/go` writes them. Every
//! figure is taken in a process of its own: CPU time is user + system as
//! `getrusage` has it, memory is the high-water mark (`VmHWM`). Files are read
//! one by one in all cases, so reading them is part of every figure.

mod floor;

use std::path::{Path, PathBuf};
use std::process::Command;

use flambeau_profile::{AddOptions, DEFAULT_LEVEL, Limits, Merger};

/// Runs of each case; the median is shown.
const RUNS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.as_slice() {
        [flag, case, folder, limit] if flag == "--measure" => {
            measure(case, Path::new(folder), limit.parse().expect("a number"));
        }
        [folder] => compare(Path::new(folder)),
        _ => compare(&workspace().join("target/bench-corpus")),
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One case in this process: prints CPU milliseconds, peak KiB, bytes out.
fn measure(case: &str, folder: &Path, limit: usize) {
    let files = snapshots(folder);
    let files = files.iter().cycle().take(limit);
    let before = cpu_ms();
    let out = match case {
        "inflate" => floor::inflate(files),
        "walk" => floor::walk(files),
        "merge" => merge(files, None),
        "merge+gz" => merge(files, Some(DEFAULT_LEVEL)),
        "merge+gz6" => merge(files, Some(6)),
        _ => panic!("no case {case}"),
    };
    println!("{} {} {out}", cpu_ms() - before, peak_kib());
}

fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of snapshots");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

fn merge<'a>(files: impl Iterator<Item = &'a PathBuf>, level: Option<u32>) -> usize {
    let mut merger = Merger::new(Limits::default());
    for file in files {
        let bytes = std::fs::read(file).expect("a snapshot");
        merger.add(&bytes, &AddOptions::default()).expect("a mergeable snapshot");
    }
    let merged = merger.finish().expect("snapshots");
    match level {
        Some(level) => merged.encode_gzip(level).len(),
        None => merged.encode().len(),
    }
}

/// What one case took.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu_ms: f64,
    peak_kib: f64,
}

fn compare(corpus: &Path) {
    if !corpus.is_dir() {
        println!(
            "no {}: see tests/corpus-gen/README.md, \"Snapshots for the merge bench\"",
            corpus.display()
        );
        return;
    }
    let oracle = oracle();
    if oracle.is_none() {
        println!("google/pprof left out: Go or tests/oracle is missing");
    }
    for (kind, counts) in [("cpu", &[10, 100, 1000][..]), ("heap", &[10, 100, 1000])] {
        let folder = corpus.join(kind);
        for &count in counts {
            report(kind, &folder, count, oracle.as_deref());
        }
    }
    for count in [100, 1_000, 10_000, 100_000] {
        flat(&corpus.join("cpu"), count);
    }
}

/// The first ten snapshots over and over: what is distinct stays the same.
fn flat(folder: &Path, count: usize) {
    let few = few_of(folder, 10);
    let cost = run("merge", &few, count, 1);
    std::fs::remove_dir_all(&few).ok();
    println!(
        "same 10 cpu snapshots, {count:>6} times: {:8.1} µs a snapshot, peak {:6.1} MB",
        cost.cpu_ms * 1e3 / count as f64,
        cost.peak_kib / 1024.0
    );
}

fn few_of(folder: &Path, count: usize) -> PathBuf {
    let few = std::env::temp_dir().join(format!("flambeau-bench-{}", std::process::id()));
    std::fs::create_dir_all(&few).expect("a temporary folder");
    for file in snapshots(folder).iter().take(count) {
        let name = file.file_name().expect("a file name");
        std::fs::copy(file, few.join(name)).expect("a copy");
    }
    few
}

fn report(kind: &str, folder: &Path, count: usize, oracle: Option<&Path>) {
    let (gz, raw) = floor::sizes(snapshots(folder).iter().take(count));
    println!("\n{kind} × {count}: {:.2} MB gz, {:.2} MB raw", gz as f64 / 1e6, raw as f64 / 1e6);
    let cases = ["inflate", "walk", "merge", "merge+gz", "merge+gz6"];
    let costs = cases.map(|case| run(case, folder, count, RUNS));
    let google = oracle.map(|oracle| google(oracle, folder, count));
    for (case, cost) in cases.iter().zip(&costs) {
        line(case, *cost, count, raw);
    }
    let Some(google) = google else { return };
    line("google/pprof", google, count, raw);
    println!(
        "  {:.1}× less CPU than google/pprof, {:.2}× the floor, 1/{:.0} of the memory",
        google.cpu_ms / costs[3].cpu_ms,
        costs[2].cpu_ms / costs[1].cpu_ms,
        google.peak_kib / costs[3].peak_kib
    );
}

fn line(case: &str, cost: Cost, count: usize, raw: usize) {
    println!(
        "  {case:<13} {:>9.2} ms CPU  {:>7.0} snapshots/s  {:>6.0} MB/s raw  peak {:>7.1} MB",
        cost.cpu_ms,
        count as f64 / cost.cpu_ms * 1e3,
        raw as f64 / cost.cpu_ms / 1e3,
        cost.peak_kib / 1024.0
    );
}

/// The median of several runs, each a process of its own.
fn run(case: &str, folder: &Path, count: usize, runs: usize) -> Cost {
    let me = std::env::current_exe().expect("this program");
    let mut costs: Vec<Cost> = (0..runs)
        .map(|_| {
            let mut command = Command::new(&me);
            command.args(["--measure", case]).arg(folder).arg(count.to_string());
            let out = command.output().expect("a measurement");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let text = String::from_utf8(out.stdout).expect("text");
            let mut figures = text.split_whitespace().map(|f| f.parse::<f64>().expect("a figure"));
            Cost { cpu_ms: figures.next().unwrap_or(0.0), peak_kib: figures.next().unwrap_or(0.0) }
        })
        .collect();
    costs.sort_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms));
    costs[costs.len() / 2]
}

/// The oracle's program, built if Go is there.
fn oracle() -> Option<PathBuf> {
    let program = workspace().join("target/oracle");
    let build = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(workspace().join("tests/oracle"))
        .status();
    (build.is_ok_and(|status| status.success()) && program.exists()).then_some(program)
}

fn google(oracle: &Path, folder: &Path, count: usize) -> Cost {
    let out = std::env::temp_dir().join(format!("flambeau-bench-{}.pb.gz", std::process::id()));
    let mut command = Command::new(oracle);
    command.args(["merge-files", "-limit", &count.to_string()]).arg(folder).arg(&out);
    let answer = command.output().expect("the oracle").stdout;
    let answer = String::from_utf8(answer).expect("JSON");
    std::fs::remove_file(&out).ok();
    let figure = |name: &str| -> f64 {
        let (_, rest) = answer.split_once(&format!("\"{name}\":")).expect(name);
        let end = rest.find([',', '}']).expect("JSON");
        rest[..end].parse().expect("a figure")
    };
    Cost { cpu_ms: figure("cpu_ms"), peak_kib: figure("max_rss_kb") }
}

fn cpu_ms() -> f64 {
    // SAFETY: `getrusage` fills the structure it is given, which is plain data.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    ms(usage.ru_utime) + ms(usage.ru_stime)
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let figure = line.and_then(|l| l.split_whitespace().next());
    figure.and_then(|f| f.parse().ok()).unwrap_or(0)
}
