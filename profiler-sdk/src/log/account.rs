//! Accounts that are told exactly once, however the process ends.
//!
//! An account is a row of numbers that only grow: the log's own counters, and the slots of the
//! ledger. Nothing is ever taken out of the running account, because taking out here and putting
//! in there are two stores, and a process can die between them. Instead each half keeps what the
//! account was when its time began (`since`) and when it was sealed (`until`); what it tells is
//! the difference. What nobody sealed yet is the running account less the latest `until`.
//!
//! Sealing a half rewrites its two accounts, and the half's *ordinal* (which seal it was, and
//! whether `until` is whole) says at each instant which of them to believe:
//!
//! | step | the latest account told is |
//! |---|---|
//! | `since` := the latest `until` | unchanged |
//! | ordinal := (n, unfinished) | this half's `since` (the same numbers) |
//! | `until` := running account | this half's `since` |
//! | state := SEALED | this half's `until`: **here the account changes hands** |
//! | ordinal := (n, finished) | this half's `until`, also after the half is free again |

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::format::{ACCOUNT_WORDS, COUNTERS, Layout, Words, at};
use super::protocol::OPEN;

const FINISHED: u64 = 1;

/// Which of a half's two accounts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bank {
    Since,
    Until,
}

/// The first word of an account.
fn bank_at(half: usize, bank: Bank) -> usize {
    Layout::ACCOUNTS_AT + ACCOUNT_WORDS * (1 + 2 * half + bank as usize)
}

/// Where a half's ordinal is.
fn ordinal_at(half: usize) -> usize {
    at::HALVES[half] + at::ORDINAL
}

/// Brings the accounts of a half that is being sealed up to date. The caller has the only right
/// to seal, stores the state next, and then calls [`finish`].
pub(crate) fn carry(words: &[AtomicU64], half: usize, used: usize) {
    let used = used.min(ACCOUNT_WORDS);
    let latest = latest(words);
    copy(words, latest.map(|(_, from)| from), bank_at(half, Bank::Since), used);
    let ordinal = latest.map_or(0, |(ordinal, _)| ordinal) + 1;
    fence(Release);
    store(&words[ordinal_at(half)], ordinal << 1);
    fence(Release);
    copy(words, Some(Layout::ACCOUNTS_AT), bank_at(half, Bank::Until), used);
}

/// Notes that `until` is whole, after the half's state said so.
pub(crate) fn finish(words: &[AtomicU64], half: usize) {
    words[ordinal_at(half)].fetch_or(FINISHED, Release);
}

/// The latest seal's ordinal and where the account it told begins; none before the first.
fn latest<W: Words + ?Sized>(words: &W) -> Option<(u64, usize)> {
    let ordinal = |half| words.word(ordinal_at(half)).unwrap_or(0);
    let half = if ordinal(0) >> 1 > ordinal(1) >> 1 { 0 } else { 1 };
    let (number, finished) = (ordinal(half) >> 1, ordinal(half) & FINISHED != 0);
    if number == 0 {
        return None;
    }
    let state = words.word(at::HALVES[half] + at::STATE)?;
    let bank = if finished || state != OPEN { Bank::Until } else { Bank::Since };
    Some((number, bank_at(half, bank)))
}

/// Copies an account, or nothing but zeros; skips what is the same already, because writing it
/// would make pages of zeros ours.
fn copy(words: &[AtomicU64], from: Option<usize>, to: usize, used: usize) {
    for slot in 0..used {
        let value = from.map_or(0, |from| words[from + slot].load(Acquire));
        let to = &words[to + slot];
        if to.load(Relaxed) != value {
            store(to, value);
        }
    }
}

fn store(word: &AtomicU64, value: u64) {
    #[cfg(test)]
    tests::die_in_time();
    word.store(value, Relaxed);
}

/// What one span of time added to the account: the log's counters, and slots above zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) counters: [u64; COUNTERS],
    /// Slot and nanoseconds, by slot.
    pub(crate) ledger: Vec<(u32, u64)>,
}

impl Account {
    /// What a sealed half tells.
    pub(crate) fn of_half<W: Words + ?Sized>(words: &W, half: usize) -> Account {
        let (since, until) = (bank_at(half, Bank::Since), bank_at(half, Bank::Until));
        Account::between(words, Some(since), until)
    }

    /// What nobody has sealed.
    pub(crate) fn running<W: Words + ?Sized>(words: &W) -> Account {
        Account::between(words, latest(words).map(|(_, from)| from), Layout::ACCOUNTS_AT)
    }

    fn between<W: Words + ?Sized>(words: &W, since: Option<usize>, until: usize) -> Account {
        let grown = |slot: usize| {
            let since = since.and_then(|since| words.word(since + slot)).unwrap_or(0);
            words.word(until + slot).unwrap_or(0).saturating_sub(since)
        };
        let slots = (0..).zip(COUNTERS..ACCOUNT_WORDS);
        Account {
            counters: std::array::from_fn(grown),
            ledger: slots
                .map(|(slot, word)| (slot, grown(word)))
                .filter(|(_, nanos)| *nanos > 0)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::super::protocol::{FREE, sealed};
    use super::*;

    thread_local! {
        static STORES_LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    /// Ends the test's process life when its time has come: before the n-th store.
    pub(super) fn die_in_time() {
        STORES_LEFT.with(|left| match left.get() {
            0 => resume_unwind(Box::new("killed")),
            stores => left.set(stores - 1),
        });
    }

    /// Slots in use; the log's counters are the first of them.
    const USED: usize = COUNTERS + 3;

    struct Process(Vec<AtomicU64>);

    impl Process {
        fn new() -> Process {
            Process((0..Layout::DICTIONARY_AT).map(|_| AtomicU64::new(0)).collect())
        }

        fn state(&self, half: usize, state: u64) {
            die_in_time();
            self.0[at::HALVES[half] + at::STATE].store(state, Release);
        }

        fn add(&self, slot: usize, nanos: u64) {
            self.0[Layout::ACCOUNTS_AT + COUNTERS + slot].fetch_add(nanos, Relaxed);
        }

        /// As `seal.rs` does.
        fn seal(&self, half: usize, seq: u64) {
            carry(&self.0, half, USED);
            self.state(half, sealed(seq));
            die_in_time();
            finish(&self.0, half);
        }

        /// What a reader finds: the account of each sealed half by its seq, and the rest.
        fn accounts(&self) -> (Vec<(u64, Account)>, Account) {
            let told = (0..2).filter_map(|half| {
                let state = self.0[at::HALVES[half] + at::STATE].load(Relaxed);
                let seq = super::super::protocol::seq_of(state)?;
                Some((seq, Account::of_half(&self.0[..], half)))
            });
            (told.collect(), Account::running(&self.0[..]))
        }
    }

    fn sum<'a>(accounts: impl Iterator<Item = &'a Account>) -> u64 {
        accounts.flat_map(|account| &account.ledger).map(|(_, nanos)| nanos).sum()
    }

    /// A life: each window adds to the ledger and is sealed; snapshots are acknowledged late,
    /// out of order too. Gives what was added, and what was acknowledged.
    fn live(process: &Process, added: &Cell<u64>, acknowledged: &Cell<u64>) {
        let release = |half: usize| {
            // Safe elsewhere from here on, whatever the file still says.
            acknowledged.set(
                acknowledged.get() + sum([&Account::of_half(&process.0[..], half)].into_iter()),
            );
            process.state(half, FREE);
            process.state(half, OPEN);
        };
        let add = |slot, nanos| {
            process.add(slot, nanos);
            added.set(added.get() + nanos);
        };
        process.state(0, OPEN);
        add(0, 1);
        process.state(1, OPEN);
        process.seal(0, 0);
        add(0, 10);
        add(1, 100);
        process.seal(1, 1);
        add(2, 1_000);
        release(1);
        add(2, 10_000);
        // The same half twice in a row, while the other is still held.
        process.seal(1, 2);
        add(1, 100_000);
        release(0);
        add(0, 1_000_000);
        release(1);
        process.seal(0, 3);
        add(0, 10_000_000);
    }

    #[test]
    fn whoever_dies_at_any_store_told_each_nanosecond_once() {
        let mut died_at = 0;
        loop {
            let (process, added, acknowledged) = (Process::new(), Cell::new(0), Cell::new(0));
            STORES_LEFT.set(died_at);
            let life = catch_unwind(AssertUnwindSafe(|| live(&process, &added, &acknowledged)));
            STORES_LEFT.set(u32::MAX);
            let (told, rest) = process.accounts();
            // A snapshot that is acknowledged and still in the file is sent again under its own
            // seq, and counts once.
            let kept = sum(told.iter().map(|(_, account)| account)) + sum([&rest].into_iter());
            let twice = (acknowledged.get() + kept).checked_sub(added.get());
            let resent: Vec<u64> =
                told.iter().map(|(_, account)| sum([account].into_iter())).collect();
            assert!(
                twice == Some(0) || twice.is_some_and(|twice| resent.contains(&twice)),
                "died at {died_at}: added {added:?}, acknowledged {acknowledged:?}, {told:?}, {rest:?}",
            );
            died_at += 1;
            if life.is_ok() {
                break;
            }
        }
        assert!(died_at > 20, "{died_at} deaths");
    }
}
