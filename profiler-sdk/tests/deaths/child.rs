//! The process that dies. Either it writes a log itself, as fast as it can, from two threads and
//! a signal handler, and seals and releases halves as a profiler does; or it lets the engine
//! sample two busy threads. It says on a pipe what was written, once it has been.

use std::io::{self, Read};
use std::path::Path;
use std::process;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
use std::thread;
use std::time::Duration;

use super::witness::{Word, frames_of, send};
use super::{Way, Writer};
use profiler_sdk::cpu::Sampler;

use crate::context::Context;
use crate::log::{LogOptions, SampleHead, SampleKind, SampleLog};

/// The threads that write, beside the handler.
pub(crate) const WRITERS: u64 = 2;

/// The handler's ids, and slot in the ledger.
const HANDLER: u64 = WRITERS;

/// What the handler's samples go to.
static LOG: AtomicPtr<SampleLog> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the first writer has written as much as it should before the end.
static DUE: AtomicBool = AtomicBool::new(false);

/// Writes samples until it dies in that way, after about so many of them.
pub(crate) fn live_and_die(folder: &Path, writer: Writer, way: Way, after: u64) -> ! {
    // The parent lets us begin.
    io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    match writer {
        Writer::Log => write_a_log(folder, way, after),
        Writer::Engine => run_the_engine(folder, after),
    }
    while !DUE.load(Acquire) {
        thread::yield_now();
    }
    send(&[Word::Due.code()]);
    die(way)
}

/// Samples two busy threads.
fn run_the_engine(folder: &Path, after: u64) {
    let sampler = Sampler::start_in(999, folder).expect("a folder of our own");
    sampler.resume();
    for _ in 0..WRITERS {
        thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    thread::spawn(move || {
        let mut sampled = 0;
        loop {
            let report = sampler.report();
            sampled += report.samples - report.dropped;
            send(&[Word::Sampled(sampled).code()]);
            DUE.fetch_or(sampled >= after, Release);
            thread::sleep(Duration::from_millis(1));
        }
    });
}

fn write_a_log(folder: &Path, way: Way, after: u64) {
    let options = LogOptions { half_bytes: 256 << 10, ..LogOptions::default() };
    let log = SampleLog::create(folder, options).expect("a folder of our own");
    let log: &'static SampleLog = Box::leak(Box::new(log));
    LOG.store(std::ptr::from_ref(log).cast_mut(), Release);
    interrupt_ever_so_often();
    for writer in 0..WRITERS {
        thread::spawn(move || write(log, way, writer, after));
    }
    thread::spawn(move || seal_and_release(log));
}

fn write(log: &SampleLog, way: Way, writer: u64, after: u64) {
    for nth in 1.. {
        append(log, SampleKind::Cpu, writer << 40 | nth);
        if way == Way::OutOfMemory && DUE.load(Relaxed) {
            // That death is slow, and would be slower with all memory full of samples.
            thread::sleep(Duration::from_micros(100));
        }
        if nth == after {
            DUE.store(true, Release);
        }
    }
}

/// One sample, all of which follows from its id; it is witnessed once it is written.
fn append(log: &SampleLog, kind: SampleKind, id: u64) {
    let context = Context { labels: id as u32, span: !id as u32 };
    let head = SampleHead { tid: id as u32, kind, at: !id, weight: id, context };
    let (frames, depth) = frames_of(id);
    if log.append(head, &frames[..depth]) {
        log.ledger_add((id >> 40) as u32, 1);
        send(&[Word::Written(id).code()]);
    }
}

fn seal_and_release(log: &SampleLog) {
    for seq in 0.. {
        while log.fill().used < log.fill().capacity / 4 {
            thread::yield_now();
        }
        let Some(sealed) = log.seal(seq) else { continue };
        let ids = sealed.samples().into_iter().map(|sample| Word::Told(sample.head.weight).code());
        let ledger = sealed.account().ledger.iter().map(|(_, count)| count).sum();
        let words: Vec<u64> = ids.chain([Word::Acknowledged { seq, ledger }.code()]).collect();
        send(&words);
        sealed.release();
    }
}

/// A signal each millisecond of CPU time, or as often as the kernel can, whose handler writes:
/// it also interrupts the threads that are writing.
fn interrupt_ever_so_often() {
    let every = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the handler does nothing that is not async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGPROF, &action, std::ptr::null_mut());
        libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut());
    }
}

extern "C" fn on_signal(_: libc::c_int) {
    static NTH: AtomicU64 = AtomicU64::new(1);
    // SAFETY: null, or leaked and so alive for good.
    let Some(log) = (unsafe { LOG.load(Acquire).as_ref() }) else { return };
    // SAFETY: this thread's own `errno`, which a handler leaves as it found it.
    unsafe {
        let errno = *libc::__errno_location();
        append(log, SampleKind::Wall, HANDLER << 40 | NTH.fetch_add(1, Relaxed));
        *libc::__errno_location() = errno;
    }
}

fn die(way: Way) -> ! {
    match way {
        Way::Kill | Way::Term => wait_for_the_end(),
        Way::LoopThenKill => loop {
            std::hint::spin_loop();
        },
        // SAFETY: it is not; that is the point.
        Way::Segfault => unsafe {
            std::ptr::null_mut::<u32>().write_volatile(1);
        },
        Way::Abort => process::abort(),
        Way::Panic => panic!("a panic of the main thread ends the process"),
        Way::Exit => process::exit(3),
        Way::StackOverflow => {
            overflow(0);
        }
        Way::OutOfMemory => eat_memory(),
    }
    unreachable!("{way:?} ends a process")
}

fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + frame[3] }
}

fn eat_memory() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}
