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
    words[ordinal_at(half)].store(ordinal << 1, Relaxed);
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
            to.store(value, Relaxed);
        }
    }
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
