//! The ledger: what each billed nanosecond was spent on.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::book::Book;
use super::clock::{Clock, SystemClock, process_started};
use super::running::Running;
use super::share::Split;
use super::slots::{self, Kind, MAX_OWNERS, Slots};
use super::tree::{NOBODY, NodeId, Tree};
use super::window::Window;

/// Wall time after which time is settled: the grain in which CPU and waiting are told apart, and
/// the rate of its one system call.
pub const SETTLE_EVERY: u64 = 2_000_000;

const MILLISECOND: u64 = 1_000_000;

/// Accounts for every billed nanosecond of one process.
///
/// The layer tells it of spans, the session of invocations and flushes. Whatever it is told, in
/// whatever order, each nanosecond of an invocation lands in one place; time between
/// invocations, when the process may be frozen, lands in none.
///
/// Several invocations at once are accounted for one by one, because each is billed for itself:
/// a second during which two run is two seconds. A span is of the invocation that its parent is
/// of, else of the one in whose [`scope`](Ledger::scope) it was opened, else of the only one
/// running; what is of none owns no time. CPU time, which the kernel has only for the whole
/// process, is divided among invocations by the time that threads spent in their spans.
pub struct Ledger {
    clock: Box<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    tree: Tree,
    running: Vec<Running>,
    last_id: u64,
    /// When time was last settled, and the process's CPU time then.
    settled: u64,
    cpu: u64,
    book: Book,
    init: Init,
    /// What the last invocation was billed so far, before rounding, while a flush may follow.
    tail: Option<u64>,
    /// Since when a flush behind an answer is under way, or what of it is not accounted yet.
    flushing: Option<u64>,
}

#[derive(Clone, Copy)]
enum Init {
    /// Since `started`; there were signs of life up to `seen`.
    Open { started: u64, seen: u64 },
    /// Over, and to be billed with the first invocation.
    Over { nanos: u64 },
    /// Billed, or not billed at all.
    Settled,
}

/// An invocation, to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvocationId(u64);

/// A span, to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId {
    node: NodeId,
    path: u32,
}

impl SpanId {
    /// The span's path, an id of the crate's names.
    pub fn path(self) -> u32 {
        self.path
    }
}

thread_local! {
    static SCOPE: Cell<u64> = const { Cell::new(NOBODY) };
}

/// Ends an invocation's scope on this thread.
#[derive(Debug)]
pub struct Scope {
    before: u64,
    /// Scopes are a thread's own.
    _here: std::marker::PhantomData<*const ()>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        SCOPE.set(self.before);
    }
}

impl Ledger {
    /// A ledger by these clocks, of a process whose init phase began at `started`; `None` if
    /// that is not to be billed.
    pub fn new(clock: impl Clock, started: Option<u64>) -> Self {
        let seen = clock.now();
        let init = match started {
            Some(started) => Init::Open { started, seen },
            None => Init::Settled,
        };
        let state = State {
            tree: Tree::default(),
            running: Vec::new(),
            last_id: NOBODY,
            settled: 0,
            cpu: 0,
            book: Book::default(),
            init,
            tail: None,
            flushing: None,
        };
        Self { clock: Box::new(clock), state: Mutex::new(state) }
    }

    /// The ledger of this process, from its very start.
    pub fn of_process() -> &'static Ledger {
        static LEDGER: OnceLock<Ledger> = OnceLock::new();
        LEDGER.get_or_init(|| Ledger::new(SystemClock, process_started()))
    }

    /// Now, by the ledger's clock: what all times it is given are read from.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Keeps the account beyond the process from now on, what no window told yet included.
    pub fn keep_in(&self, keeper: &'static dyn Slots) {
        let mut state = self.state();
        state.book.keep_in(keeper);
        state.note_open();
    }

    /// The init phase is over: the first invocation is about to be asked for. Without this it
    /// ends at the last sign of life before the first invocation, since the process may have
    /// been frozen in between.
    pub fn init_ended(&self, at: u64) {
        self.state().end_init(at);
    }

    /// The init phase is not billed with the first invocation: provisioned concurrency, or a
    /// snapshot that was taken behind it.
    pub fn init_is_free(&self) {
        self.state().init = Init::Settled;
    }

    /// An invocation began. Nothing before `at` is counted for it.
    pub fn invocation_began(&self, at: u64) -> InvocationId {
        let mut state = self.state();
        state.begin(at, &*self.clock)
    }

    /// An invocation ended; what spans it leaves open own no later time. Gives what it is
    /// billed, in nanoseconds: whole milliseconds, the first with the init phase; a flush
    /// behind the answer comes on top. An invocation that is not running is billed 0.
    pub fn invocation_ended(&self, id: InvocationId, at: u64) -> u64 {
        let mut state = self.state();
        state.end(id.0, at, &*self.clock)
    }

    /// A flush begins behind an answer, and the next invocation is not asked for before it is
    /// over. Not for one at shutdown, which is not billed; during an invocation it is part of
    /// that and this does nothing.
    pub fn flush_began(&self, at: u64) {
        let mut state = self.state();
        if state.running.is_empty() && state.tail.is_some() && state.flushing.is_none() {
            state.flushing = Some(at);
        }
    }

    /// The flush is over. If an invocation began before this, the flush had been frozen for who
    /// knows how long, and none of it was counted.
    pub fn flush_ended(&self, at: u64) {
        let mut state = self.state();
        state.account_flush(at);
        state.flushing = None;
    }

    /// What was accounted since the last window, up to now.
    pub fn take_window(&self) -> Window {
        self.take_window_and(|| ()).0
    }

    /// [`take_window`](Ledger::take_window), with `cut` run at the very end of it: whatever it
    /// cuts (a log's half) ends where the window ends. Spans that open or close meanwhile wait
    /// for it, so it must have none itself.
    pub fn take_window_and<R>(&self, cut: impl FnOnce() -> R) -> (Window, R) {
        let mut state = self.state();
        let now = self.clock.now();
        state.settle(now, &*self.clock);
        state.note_open();
        state.account_flush(now);
        if state.flushing.is_none() {
            state.close_tail();
        }
        (state.book.take(), cut())
    }

    /// Root spans opened on this thread are of this invocation, until the guard goes. For each
    /// poll of an invocation's future where several run at once.
    pub fn scope(id: InvocationId) -> Scope {
        Scope { before: SCOPE.replace(id.0), _here: std::marker::PhantomData }
    }

    /// A span is opened; it owns nothing before it is entered.
    pub fn open(&self, parent: Option<SpanId>, name: &'static str) -> SpanId {
        let mut state = self.state();
        let path = state.book.path(parent.map_or(0, SpanId::path), name);
        let invocation = state.invocation_of(parent.map(|parent| parent.node));
        let node = state.tree.open(parent.map(|parent| parent.node), path, invocation);
        SpanId { node, path }
    }

    /// A thread enters a span. `thread` is any number of its own; a span of `None` is none of
    /// ours, and the thread is in none until it leaves it.
    pub fn enter(&self, thread: u64, span: Option<SpanId>) {
        self.change(|state| match span {
            Some(SpanId { node, path }) => {
                let began = state.tree.enter(thread, node);
                if began && state.tree.invocation(node) != NOBODY {
                    state.book.wall(path).spans += 1;
                }
            }
            None => state.tree.set_top(thread, None),
        });
    }

    /// A thread leaves a span, and is in `top` then.
    pub fn exit(&self, thread: u64, span: Option<SpanId>, top: Option<SpanId>) {
        self.change(|state| {
            if let Some(span) = span {
                state.tree.exit(span.node);
            }
            state.tree.set_top(thread, top.map(|top| top.node));
        });
    }

    /// A span is closed, and no thread is in it.
    pub fn close(&self, span: SpanId) {
        self.change(|state| state.tree.close(span.node));
    }

    /// How many spans are open.
    pub fn open_spans(&self) -> usize {
        self.state().tree.len()
    }

    /// How many threads are in spans.
    pub fn threads_inside(&self) -> usize {
        self.state().tree.threads()
    }

    /// Notes the time before a change of owners, makes it, and settles if that is due.
    fn change(&self, act: impl FnOnce(&mut State)) {
        let mut state = self.state();
        // Read under the lock: times must come in the order of the changes.
        let now = self.clock.now();
        state.note(now);
        act(&mut state);
        if !state.running.is_empty() && now.saturating_sub(state.settled) >= SETTLE_EVERY {
            state.settle(now, &*self.clock);
        }
        state.note_open();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds the time up to now to what is pending.
    fn note(&mut self, now: u64) {
        if let Init::Open { started, seen } = self.init {
            self.init = Init::Open { started, seen: seen.max(now) };
        }
        for running in &mut self.running {
            let passed = running.note(now, &self.tree);
            if passed == 0 {
                continue;
            }
            for path in self.tree.entered(running.id) {
                self.book.wall(path).busy += passed;
            }
            for (path, count) in self.tree.waiting(running.id) {
                self.book.wall(path).idle += passed.saturating_mul(count.into());
            }
        }
    }

    /// Divides what is pending by what the CPU's clock says.
    fn settle(&mut self, now: u64, clock: &dyn Clock) {
        if self.running.is_empty() {
            return;
        }
        self.note(now);
        let cpu = clock.cpu();
        let spent = cpu.saturating_sub(std::mem::replace(&mut self.cpu, cpu));
        self.settled = self.settled.max(now);
        let threads: u64 = self.running.iter().map(Running::threads).sum();
        let weight = |running: &Running| match threads {
            0 => running.pending(),
            _ => running.threads(),
        };
        let mut split = Split::new(spent, self.running.iter().map(weight).sum());
        let book = &mut self.book;
        for running in &mut self.running {
            running.settle(split.next(weight(running)), |settled| {
                book.add_path(settled.path, Kind::Waiting, settled.waiting);
                book.add_path(settled.path, Kind::OnCpu, settled.on_cpu);
            });
        }
    }

    fn begin(&mut self, at: u64, clock: &dyn Clock) -> InvocationId {
        if let Init::Open { seen, .. } = self.init {
            self.end_init(seen.min(at));
        }
        self.flushing = None;
        self.close_tail();
        if self.running.is_empty() {
            (self.settled, self.cpu) = (at, clock.cpu());
        } else {
            self.settle(at, clock);
        }
        self.last_id += 1;
        self.running.push(Running::new(self.last_id, at));
        self.note_open();
        InvocationId(self.last_id)
    }

    fn end(&mut self, id: u64, at: u64, clock: &dyn Clock) -> u64 {
        self.settle(at, clock);
        let Some(index) = self.running.iter().position(|running| running.id == id) else {
            return 0;
        };
        let ended = self.running.swap_remove(index);
        self.tree.forget(id);
        self.close_tail();
        let init = match self.init {
            Init::Over { nanos } => nanos,
            _ => 0,
        };
        self.init = Init::Settled;
        let raw = ended.wall.saturating_add(init);
        self.tail = Some(raw);
        self.note_open();
        raw.saturating_add(to_next_millisecond(raw))
    }

    fn end_init(&mut self, at: u64) {
        if let Init::Open { started, .. } = self.init {
            let nanos = at.saturating_sub(started);
            self.book.add(slots::INIT, nanos);
            self.init = Init::Over { nanos };
        }
    }

    /// Accounts for the flush up to `at`, and goes on from there.
    fn account_flush(&mut self, at: u64) {
        let Some(since) = &mut self.flushing else { return };
        let nanos = at.saturating_sub(*since);
        *since = at.max(*since);
        self.book.add(slots::FLUSH, nanos);
        self.tail = self.tail.map(|raw| raw.saturating_add(nanos));
    }

    /// The last invocation's account is complete but for the rounding.
    fn close_tail(&mut self) {
        let Some(raw) = self.tail.take() else { return };
        let rounding = to_next_millisecond(raw);
        self.book.add(slots::ROUNDED, rounding);
        self.book.add(slots::BILLED, raw.saturating_add(rounding));
        self.book.add(slots::INVOCATIONS, 1);
    }

    fn invocation_of(&self, parent: Option<NodeId>) -> u64 {
        let inherited = parent.map_or(NOBODY, |parent| self.tree.invocation(parent));
        if inherited != NOBODY {
            return inherited;
        }
        let scope = SCOPE.get();
        match self.running.as_slice() {
            running if running.iter().any(|running| running.id == scope) => scope,
            [only] => only.id,
            _ => NOBODY,
        }
    }

    /// Tells the keeper whose the time is that is not settled.
    fn note_open(&self) {
        let Some(keeper) = self.book.keeper() else { return };
        let mut owners = [0; MAX_OWNERS];
        let all = self.running.iter().flat_map(|running| running.owners(&self.tree));
        let count = owners.iter_mut().zip(all).map(|(to, path)| *to = path).count();
        keeper.note_open(self.settled, &owners[..count]);
    }
}

/// What is missing to a whole millisecond.
pub(super) fn to_next_millisecond(nanos: u64) -> u64 {
    nanos.next_multiple_of(MILLISECOND) - nanos
}
