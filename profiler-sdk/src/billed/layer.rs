//! Hears of spans, and tells the ledger and the CPU samples.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::filter::{SpanFilter, is_of};
use super::ledger::{Ledger, SpanId};
use crate::{context, names};

/// Spans under this target are the profiler's own work.
const OWN_TARGET: &str = "profiler_sdk";

/// Where CPU samples of the profiler's own work stand.
const OWN_PATH: &str = "[flush]";

/// The profiler's layer with its own filter: CPU samples know their span, and the profile types
/// `billed` and `wall` know what was waited for.
///
/// ```
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};
///
/// tracing_subscriber::registry()
///     .with(profiler_sdk::span_layer())
///     .with(tracing_subscriber::fmt::layer().with_filter(LevelFilter::INFO))
///     .init();
/// ```
///
/// The span an instrumented future is in waits when the future does; a span entered by a thread
/// that blocks waits too. A span that is kept after its last use looks like one that waits: let
/// it go out of scope.
pub fn span_layer<S>() -> Filtered<SpanLayer, SpanFilter, S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    SpanLayer::new(Ledger::of_process()).with_filter(SpanFilter::default())
}

/// Follows spans; see [`span_layer`].
///
/// Without the [`SpanFilter`] of [`span_layer`] it asks for all spans and events there are.
#[derive(Clone, Copy)]
pub struct SpanLayer {
    ledger: &'static Ledger,
}

/// A span, as its extensions have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracked {
    Span(SpanId),
    /// The profiler's own, or below one of those: it owns no time.
    Own,
}

/// The spans a thread is in, innermost last.
struct Entered {
    /// A number of this thread's own.
    thread: u64,
    stack: Vec<Frame>,
}

struct Frame {
    ledger: &'static Ledger,
    id: u64,
    span: Option<SpanId>,
    /// The path that the thread's samples had before.
    before: u32,
}

thread_local! {
    static ENTERED: RefCell<Entered> = RefCell::new(Entered::new());
}

impl SpanLayer {
    /// A layer that tells this ledger; [`span_layer`] is the process's.
    pub fn new(ledger: &'static Ledger) -> Self {
        Self { ledger }
    }

    fn track(&self, metadata: &'static Metadata<'static>, parent: Option<Tracked>) -> Tracked {
        match parent {
            Some(Tracked::Own) => Tracked::Own,
            _ if is_of(metadata.target(), OWN_TARGET) => Tracked::Own,
            Some(Tracked::Span(parent)) => {
                Tracked::Span(self.ledger.open(Some(parent), metadata.name()))
            }
            None => Tracked::Span(self.ledger.open(None, metadata.name())),
        }
    }
}

impl Tracked {
    fn span(self) -> Option<SpanId> {
        match self {
            Tracked::Span(span) => Some(span),
            Tracked::Own => None,
        }
    }

    fn path(self) -> u32 {
        self.span().map_or_else(|| names::span_path(0, OWN_PATH), SpanId::path)
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|parent| parent.extensions().get().copied());
        let tracked = self.track(attributes.metadata(), parent);
        span.extensions_mut().replace(tracked);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let tracked = context.span(id).and_then(|span| span.extensions().get().copied());
        if let Some(tracked) = tracked {
            with_entered(|entered| entered.enter(self.ledger, id.into_u64(), tracked));
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        with_entered(|entered| entered.exit(self.ledger, id.into_u64()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let tracked = context.span(&id).and_then(|span| span.extensions().get().copied());
        if let Some(Tracked::Span(span)) = tracked {
            self.ledger.close(span);
        }
    }
}

/// A thread at its very end has no spans any more; one that is here already is not here again.
fn with_entered(act: impl FnOnce(&mut Entered)) {
    let _ =
        ENTERED.try_with(|entered| entered.try_borrow_mut().map(|mut entered| act(&mut entered)));
}

impl Entered {
    fn new() -> Self {
        static LAST_THREAD: AtomicU64 = AtomicU64::new(0);
        Self { thread: LAST_THREAD.fetch_add(1, Relaxed), stack: Vec::new() }
    }

    fn enter(&mut self, ledger: &'static Ledger, id: u64, tracked: Tracked) {
        let before = context::set_span(tracked.path());
        let span = tracked.span();
        self.stack.push(Frame { ledger, id, span, before });
        ledger.enter(self.thread, span);
    }

    /// Leaves a span, whether or not it is the one entered last.
    fn exit(&mut self, ledger: &'static Ledger, id: u64) {
        let is_it = |frame: &Frame| frame.id == id && std::ptr::eq(frame.ledger, ledger);
        let Some(index) = self.stack.iter().rposition(is_it) else { return };
        let left = self.stack.remove(index);
        match self.stack.get_mut(index) {
            // Whoever is further in goes back to where this one would have.
            Some(further_in) => further_in.before = left.before,
            None => {
                context::set_span(left.before);
            }
        }
        let top = self.stack.iter().rev().find(|frame| std::ptr::eq(frame.ledger, ledger));
        ledger.exit(self.thread, left.span, top.and_then(|frame| frame.span));
    }
}

impl Drop for Entered {
    /// A thread that ends inside spans, their guards forgotten, is in them no longer.
    fn drop(&mut self) {
        while let Some(Frame { ledger, id, .. }) = self.stack.last() {
            let (ledger, id) = (*ledger, *id);
            self.exit(ledger, id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tracing::{debug_span, subscriber::with_default};
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    struct Still;

    impl crate::billed::Clock for Still {
        fn now(&self) -> u64 {
            0
        }
        fn cpu(&self) -> u64 {
            0
        }
    }

    fn listen(act: impl FnOnce(&'static Ledger)) {
        let ledger: &'static Ledger = Box::leak(Box::new(Ledger::new(Still, None)));
        let layer = SpanLayer::new(ledger).with_filter(SpanFilter::default());
        with_default(Registry::default().with(layer), || act(ledger));
    }

    fn here() -> String {
        names::path_of(context::current().span).join(";")
    }

    // Our own target would make these spans the profiler's own work.
    macro_rules! span {
        ($name:literal) => {
            debug_span!(target: "app", $name)
        };
    }

    #[test]
    fn samples_know_the_innermost_span_and_the_one_before_comes_back() {
        listen(|ledger| {
            let outer = span!("layer-outer").entered();
            assert_eq!(here(), "layer-outer");
            let inner = span!("layer-inner").entered();
            assert_eq!(here(), "layer-outer;layer-inner");
            drop(inner);
            assert_eq!(here(), "layer-outer");
            drop(outer);
            assert_eq!((here(), ledger.open_spans()), (String::new(), 0));
        });
    }

    #[test]
    fn spans_may_be_left_in_another_order() {
        listen(|ledger| {
            let (first, second) = (span!("layer-first"), span!("layer-second"));
            let third = span!("layer-third");
            let first = first.entered();
            let second = second.entered();
            drop(first);
            assert_eq!(here(), "layer-second");
            let third = third.entered();
            drop(second);
            assert_eq!(here(), "layer-third");
            drop(third);
            assert_eq!((here(), ledger.open_spans()), (String::new(), 0));
        });
    }

    #[test]
    fn one_span_may_be_on_two_threads_and_twice_on_one() {
        listen(|ledger| {
            let span = span!("layer-shared");
            let _here = span.enter();
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let there = span.clone();
            let elsewhere = std::thread::spawn(move || {
                assert_eq!(here(), "");
                tracing::dispatcher::with_default(&dispatch, || there.in_scope(here))
            });
            assert_eq!(elsewhere.join().unwrap(), "layer-shared");
            span.in_scope(|| assert_eq!(here(), "layer-shared"));
            assert_eq!((here().as_str(), ledger.open_spans()), ("layer-shared", 1));
        });
    }

    #[test]
    fn a_thread_that_ends_inside_a_span_leaves_it() {
        listen(|ledger| {
            let began = ledger.invocation_began(0);
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let thread = std::thread::spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    std::mem::forget(span!("layer-forgotten").entered());
                });
            });
            thread.join().unwrap();
            ledger.invocation_ended(began, 0);
            assert_eq!(ledger.open_spans(), 1, "forgotten, so never closed");
            assert_eq!(ledger.threads_inside(), 0);
        });
    }

    #[test]
    fn our_own_work_is_no_span_of_the_hosts() {
        listen(|ledger| {
            let own = debug_span!(target: "profiler_sdk::session", "flush").entered();
            let below = span!("layer-put").entered();
            assert_eq!((here().as_str(), ledger.open_spans()), (OWN_PATH, 0));
            drop(below);
            drop(own);
            assert_eq!(here(), "");
        });
    }

    #[test]
    fn transports_are_passed_over() {
        listen(|ledger| {
            let _connection = debug_span!(target: "h2::client", "layer-connection").entered();
            let _call = span!("layer-call").entered();
            assert_eq!((here().as_str(), ledger.open_spans()), ("layer-call", 1));
        });
    }
}
