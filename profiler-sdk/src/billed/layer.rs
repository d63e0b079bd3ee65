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
