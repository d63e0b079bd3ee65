//! Whatever happens, in whatever order: no nanosecond is lost, and none is billed twice.

use profiler_sdk::billed::{InvocationId, Ledger, SpanId, Window};
use proptest::prelude::*;

use super::{MS, ledger};

#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    Compute(u64),
    Begin,
    End(usize),
    FlushBegins,
    FlushEnds,
    Open { parent: Option<usize>, name: usize, scope: Option<usize> },
    Enter { thread: usize, span: Option<usize> },
    Exit { thread: usize, nth: usize },
    Close(usize),
    TakeWindow,
}

const NAMES: [&str; 4] = ["conserve-a", "conserve-b", "conserve-c", "conserve-d"];

const THREADS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    let any = || 0..16usize;
    let maybe = || proptest::option::of(0..16usize);
    prop_oneof![
        3 => (0..3 * MS).prop_map(Event::Wait),
        1 => (0..2_000 * MS).prop_map(Event::Wait),
        3 => (0..5 * MS).prop_map(Event::Compute),
        2 => Just(Event::Begin),
        2 => any().prop_map(Event::End),
        1 => Just(Event::FlushBegins),
        1 => Just(Event::FlushEnds),
        4 => (maybe(), 0..NAMES.len(), maybe())
            .prop_map(|(parent, name, scope)| Event::Open { parent, name, scope }),
        6 => (0..THREADS, maybe()).prop_map(|(thread, span)| Event::Enter { thread, span }),
        6 => (0..THREADS, any()).prop_map(|(thread, nth)| Event::Exit { thread, nth }),
        3 => any().prop_map(Event::Close),
        1 => Just(Event::TakeWindow),
    ]
}

struct Span {
    id: SpanId,
    parent: Option<SpanId>,
}

/// What a host and the layer keep to: what is closed is in no thread and has nothing below.
struct Model {
    ledger: &'static Ledger,
    running: Vec<(InvocationId, u64)>,
    spans: Vec<Span>,
    threads: [Vec<Option<SpanId>>; THREADS],
    windows: Vec<Window>,
    /// By subtraction of two times each.
    ran: u64,
    invocations: u64,
}

fn pick<T>(from: &[T], nth: usize) -> Option<&T> {
    from.get(nth.checked_rem(from.len())?)
}

impl Model {
    fn end(&mut self, nth: usize) {
        let Some(index) = nth.checked_rem(self.running.len()) else { return };
        let (id, began) = self.running.swap_remove(index);
        let raw = self.ledger.now() - began;
        let billed = self.ledger.invocation_ended(id, self.ledger.now());
        assert_eq!(billed, raw.next_multiple_of(MS));
        assert_eq!(self.ledger.invocation_ended(id, self.ledger.now()), 0, "only once");
        self.ran += raw;
        self.invocations += 1;
    }

    fn open(&mut self, parent: Option<usize>, name: usize, scope: Option<usize>) {
        let scope = scope.and_then(|nth| pick(&self.running, nth));
        let _scope = scope.map(|(id, _)| Ledger::scope(*id));
        let parent = parent.and_then(|nth| pick(&self.spans, nth)).map(|parent| parent.id);
        self.spans.push(Span { id: self.ledger.open(parent, NAMES[name]), parent });
    }

    fn enter(&mut self, thread: usize, span: Option<usize>) {
        let span = span.and_then(|nth| pick(&self.spans, nth)).map(|span| span.id);
        self.ledger.enter(thread as u64, span);
        self.threads[thread].push(span);
    }

    fn exit(&mut self, thread: usize, nth: usize) {
        let stack = &mut self.threads[thread];
        let Some(index) = nth.checked_rem(stack.len()) else { return };
        let left = stack.remove(index);
        self.ledger.exit(thread as u64, left, stack.last().copied().flatten());
    }

    fn close(&mut self, nth: usize) {
        let Some(span) = pick(&self.spans, nth).map(|span| span.id) else { return };
        let entered = self.threads.iter().flatten().any(|known| *known == Some(span));
        let has_children = self.spans.iter().any(|known| known.parent == Some(span));
        if !entered && !has_children {
            self.ledger.close(span);
            self.spans.retain(|known| known.id != span);
        }
    }
}

fn play(events: Vec<Event>) -> Model {
    let (clock, ledger) = ledger();
    let mut model = Model {
        ledger,
        running: Vec::new(),
        spans: Vec::new(),
        threads: Default::default(),
        windows: Vec::new(),
        ran: 0,
        invocations: 0,
    };
    for event in events {
        match event {
            Event::Wait(nanos) => clock.wait(nanos),
            Event::Compute(nanos) => clock.compute(nanos),
            Event::Begin => {
                let now = ledger.now();
                model.running.push((ledger.invocation_began(now), now));
            }
            Event::End(nth) => model.end(nth),
            Event::FlushBegins => ledger.flush_began(ledger.now()),
            Event::FlushEnds => ledger.flush_ended(ledger.now()),
            Event::Open { parent, name, scope } => model.open(parent, name, scope),
            Event::Enter { thread, span } => model.enter(thread, span),
            Event::Exit { thread, nth } => model.exit(thread, nth),
            Event::Close(nth) => model.close(nth),
            Event::TakeWindow => model.windows.push(ledger.take_window()),
        }
    }
    while !model.running.is_empty() {
        model.end(0);
    }
    ledger.flush_ended(ledger.now());
    model.windows.push(ledger.take_window());
    model
}

proptest! {
    #[test]
    fn time_is_conserved(events in proptest::collection::vec(event(), 0..120)) {
        let model = play(events);
        let sum = |value: fn(&Window) -> u64| model.windows.iter().map(value).sum::<u64>();
        let inside = sum(|it| it.paths.iter().map(|path| path.waiting + path.on_cpu).sum());
        prop_assert_eq!(inside, model.ran);
        prop_assert_eq!(sum(Window::total), sum(|it| it.billed));
        prop_assert_eq!(sum(|it| it.invocations), model.invocations);
        prop_assert_eq!(sum(|it| it.billed) % MS, 0);
        prop_assert_eq!(sum(Window::total), model.ran + sum(|it| it.flush) + sum(|it| it.rounded));
        prop_assert!(sum(|it| it.rounded) < MS * model.invocations.max(1));
        prop_assert_eq!(model.ledger.open_spans(), model.spans.len());
    }
}
