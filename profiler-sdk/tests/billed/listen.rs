//! Spans as a host opens them, through `tracing`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use profiler_sdk::billed::{Ledger, SpanFilter, SpanLayer, wall_profile};
use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use tracing::{
    Instrument, Subscriber, debug, debug_span, info, info_span, subscriber::with_default,
};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt};

use super::{MS, at, ledger};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn ours<S>(ledger: &'static Ledger) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    SpanLayer::new(ledger).with_filter(SpanFilter::default())
}

fn log<S>(page: &Page) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let page = page.clone();
    let log = fmt::layer().with_writer(move || page.clone()).with_ansi(false);
    log.with_span_events(FmtSpan::FULL).with_filter(LevelFilter::INFO)
}

fn listening(ledger: &'static Ledger) -> impl Subscriber + Send + Sync {
    Registry::default().with(ours(ledger))
}

/// What a host does: a handler at INFO around the AWS SDK at DEBUG, with events.
fn work() {
    info_span!("handler").in_scope(|| {
        info!("asking");
        debug_span!(target: "aws_smithy_runtime", "s3.get").in_scope(|| {
            debug!("not for the log");
            info!("for the log");
        });
    });
}

#[test]
fn we_see_the_sdks_spans_and_the_log_does_not_print_them() {
    for ours_first in [true, false] {
        let (clock, ledger) = ledger();
        let page = Page::default();
        let invocation = ledger.invocation_began(ledger.now());
        let registry = Registry::default();
        if ours_first {
            with_default(registry.with(ours(ledger)).with(log(&page)), work);
        } else {
            with_default(registry.with(log(&page)).with(ours(ledger)), work);
        }
        clock.wait(MS);
        ledger.invocation_ended(invocation, ledger.now());
        let window = ledger.take_window();
        assert_eq!(at(&window, "handler;s3.get").spans, 1);
        let page = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(page.contains("handler") && page.contains("for the log"), "{page}");
        assert!(!page.contains("s3.get") && !page.contains("not for the log"), "{page}");
    }
}

/// Two calls awaited at once share the wait; a third that is not awaited has no part in it.
#[tokio::test]
async fn concurrent_calls_share_what_they_wait() {
    let (clock, ledger) = ledger();
    let invocation = ledger.invocation_began(ledger.now());
    let hands = clock.clone();
    let handler = async move {
        let (open, wait) = tokio::sync::watch::channel(false);
        let call = |mut wait: tokio::sync::watch::Receiver<bool>| async move {
            wait.wait_for(|open| *open).await.unwrap();
        };
        let idle = debug_span!("not awaited");
        let opener = async {
            tokio::task::yield_now().await;
            hands.wait(100 * MS);
            open.send(true).unwrap();
        };
        tokio::join!(
            call(wait.clone()).instrument(debug_span!("left")),
            call(wait).instrument(debug_span!("right")),
            opener,
        );
        drop(idle);
    };
    let listened = async { handler.instrument(info_span!("handler")).await };
    listened.with_subscriber(listening(ledger)).await;
    ledger.invocation_ended(invocation, ledger.now());
    let window = ledger.take_window();
    // The opener passes its time inside the handler's poll: nobody but the handler owns it.
    assert_eq!(at(&window, "handler").waiting, 100 * MS);
    assert_eq!(at(&window, "handler;left").spans + at(&window, "handler;right").spans, 2);
    assert!(window.paths.iter().all(|path| path.path != "handler;not awaited"), "{window:?}");
    assert!(wall_profile(&window).is_some());
}

#[test]
fn idle_spans_own_the_time_between_polls() {
    let (clock, ledger) = ledger();
    let invocation = ledger.invocation_began(ledger.now());
    with_default(listening(ledger), || {
        let handler = info_span!("handler");
        let calls =
            [handler.in_scope(|| debug_span!("left")), handler.in_scope(|| debug_span!("right"))];
        for call in &calls {
            handler.in_scope(|| call.in_scope(|| clock.compute(3 * MS)));
        }
        clock.wait(100 * MS + 1);
        drop(calls);
        clock.wait(10 * MS);
    });
    assert_eq!(ledger.invocation_ended(invocation, ledger.now()), 117 * MS);
    let window = ledger.take_window();
    let (left, right) = (at(&window, "handler;left"), at(&window, "handler;right"));
    // While `right` computed, `left` waited, but a thread that is in a span comes first.
    assert_eq!((left.on_cpu, right.on_cpu), (3 * MS, 3 * MS));
    assert_eq!((left.waiting, right.waiting), (50 * MS, 50 * MS + 1));
    assert_eq!((left.idle, right.idle), (103 * MS + 1, 100 * MS + 1));
    assert_eq!(at(&window, "handler").waiting, 10 * MS);
    assert_eq!((window.rounded, window.total()), (MS - 1, 117 * MS));
}
