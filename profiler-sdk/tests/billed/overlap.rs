//! Several invocations at once, init, flushes, and freezes in the midst of them.

use profiler_sdk::billed::{Ledger, SpanId};

use super::{Hands, MS, at, ledger};

/// A span that has begun and waits.
fn waiting(ledger: &Ledger, name: &'static str) -> SpanId {
    let span = ledger.open(None, name);
    ledger.enter(1, Some(span));
    ledger.exit(1, Some(span), None);
    span
}

#[test]
fn each_of_two_at_once_is_billed_for_itself() {
    let (clock, ledger) = ledger();
    let first = ledger.invocation_began(ledger.now());
    let one = waiting(ledger, "overlap-one");
    clock.wait(10 * MS);
    let second = ledger.invocation_began(ledger.now());
    let two = {
        let _scope = Ledger::scope(second);
        waiting(ledger, "overlap-two")
    };
    let whose = waiting(ledger, "overlap-whose");
    clock.wait(20 * MS);
    assert_eq!(ledger.invocation_ended(first, ledger.now()), 30 * MS);
    clock.wait(5 * MS);
    assert_eq!(ledger.invocation_ended(second, ledger.now()), 25 * MS);
    let window = ledger.take_window();
    assert_eq!(at(&window, "overlap-one").waiting, 30 * MS);
    assert_eq!(at(&window, "overlap-two").waiting, 25 * MS);
    assert!(window.paths.iter().all(|path| path.path != "overlap-whose"), "{window:?}");
    assert_eq!((window.total(), window.billed, window.invocations), (55 * MS, 55 * MS, 2));
    [one, two, whose].into_iter().for_each(|span| ledger.close(span));
}

#[test]
fn cpu_time_goes_to_the_invocation_whose_threads_are_in_spans() {
    let (clock, ledger) = ledger();
    let both = [ledger.invocation_began(ledger.now()), ledger.invocation_began(ledger.now())];
    let open = |id, name, thread| {
        let _scope = Ledger::scope(id);
        let span = ledger.open(None, name);
        ledger.enter(thread, Some(span));
        span
    };
    let busy = open(both[0], "overlap-busy", 1);
    let idle = open(both[1], "overlap-idle", 2);
    ledger.exit(2, Some(idle), None);
    clock.compute(40 * MS);
    ledger.exit(1, Some(busy), None);
    for id in both {
        ledger.invocation_ended(id, ledger.now());
    }
    let window = ledger.take_window();
    assert_eq!(at(&window, "overlap-busy").on_cpu, 40 * MS);
    assert_eq!(at(&window, "overlap-idle").waiting, 40 * MS);
}

#[test]
fn what_an_invocation_left_open_owns_nothing_of_the_next() {
    let (clock, ledger) = ledger();
    let first = ledger.invocation_began(ledger.now());
    waiting(ledger, "overlap-left");
    clock.wait(MS);
    ledger.invocation_ended(first, ledger.now());
    clock.wait(3_600_000 * MS);
    let second = ledger.invocation_began(ledger.now());
    clock.wait(7 * MS);
    assert_eq!(ledger.invocation_ended(second, ledger.now()), 7 * MS);
    let window = ledger.take_window();
    assert_eq!((at(&window, "overlap-left").waiting, at(&window, "").waiting), (MS, 7 * MS));
}

fn with_init() -> (Hands, Ledger) {
    let clock = Hands::default();
    clock.set(500 * MS);
    (clock.clone(), Ledger::new(clock, Some(400 * MS)))
}

#[test]
fn init_is_billed_with_the_first_invocation_and_rounded_with_it() {
    let (clock, ledger) = with_init();
    clock.wait(MS / 2);
    ledger.init_ended(ledger.now());
    clock.wait(3_600_000 * MS);
    let first = ledger.invocation_began(ledger.now());
    clock.wait(MS / 4);
    assert_eq!(ledger.invocation_ended(first, ledger.now()), 101 * MS);
    let window = ledger.take_window();
    assert_eq!((window.init, window.rounded), (100 * MS + MS / 2, MS / 4));
    let second = ledger.invocation_began(ledger.now());
    assert_eq!(ledger.invocation_ended(second, ledger.now()), 0);
    assert_eq!(ledger.take_window().total(), 0);
}

#[test]
fn an_init_that_nobody_ended_ends_with_its_last_sign_of_life() {
    let (clock, ledger) = with_init();
    clock.wait(20 * MS);
    let span = waiting(&ledger, "overlap-setup");
    clock.wait(3_600_000 * MS);
    ledger.invocation_began(ledger.now());
    assert_eq!(ledger.take_window().init, 120 * MS);
    ledger.close(span);
    let (_, provisioned) = with_init();
    provisioned.init_is_free();
    let first = provisioned.invocation_began(500 * MS);
    assert_eq!(provisioned.invocation_ended(first, 501 * MS), MS);
    assert_eq!(provisioned.take_window().init, 0);
}

#[test]
fn a_flush_is_billed_with_the_invocation_before_it() {
    let (clock, ledger) = ledger();
    let first = ledger.invocation_began(ledger.now());
    clock.wait(MS / 2);
    assert_eq!(ledger.invocation_ended(first, ledger.now()), MS);
    ledger.flush_began(ledger.now());
    clock.wait(MS / 4);
    let before = ledger.take_window();
    assert_eq!((before.flush, before.rounded, before.billed), (MS / 4, 0, 0));
    clock.wait(MS);
    ledger.flush_ended(ledger.now());
    let after = ledger.take_window();
    assert_eq!((after.flush, after.rounded, after.billed), (MS, MS / 4, 2 * MS));
    assert_eq!(before.total() + after.total(), 2 * MS);
}

#[test]
fn a_frozen_flush_is_not_counted() {
    let (clock, ledger) = ledger();
    let first = ledger.invocation_began(ledger.now());
    clock.wait(MS);
    ledger.invocation_ended(first, ledger.now());
    ledger.flush_began(ledger.now());
    clock.wait(3_600_000 * MS);
    let second = ledger.invocation_began(ledger.now());
    clock.wait(MS);
    ledger.flush_ended(ledger.now());
    assert_eq!(ledger.invocation_ended(second, ledger.now()), MS);
    ledger.flush_ended(ledger.now());
    let window = ledger.take_window();
    assert_eq!((window.flush, window.total(), window.billed), (0, 2 * MS, 2 * MS));
    ledger.flush_began(ledger.now());
    clock.wait(MS);
    ledger.flush_ended(ledger.now());
    assert_eq!(ledger.take_window().flush, 0, "behind a closed account nothing is billed");
}
