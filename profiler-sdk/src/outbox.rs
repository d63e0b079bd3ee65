//! Closed snapshots that nobody has acknowledged yet.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Most snapshots kept for another attempt.
pub(crate) const MAX_SNAPSHOTS: usize = 16;

/// Most bytes of snapshots kept for another attempt.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// One closed snapshot: from here on neither its key nor its bytes change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) key: String,
    pub(crate) bytes: Bytes,
    /// Losses that this snapshot tells of; if it is lost, another must tell them.
    pub(crate) told_dropped: u64,
}

/// A bounded queue that gives up its oldest rather than grow.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Closed>,
    bytes: usize,
    untold: u64,
}

impl Outbox {
    /// Adds a snapshot, dropping the oldest if there is no room; true if any was dropped.
    pub(crate) fn push(&self, closed: Closed) -> bool {
        let mut inner = self.lock();
        inner.bytes += closed.bytes.len();
        inner.waiting.push_back(closed);
        let mut dropped = false;
        while inner.waiting.len() > MAX_SNAPSHOTS || inner.bytes > MAX_BYTES {
            let Some(oldest) = inner.waiting.pop_front() else { break };
            inner.bytes -= oldest.bytes.len();
            inner.untold += 1 + oldest.told_dropped;
            dropped = true;
        }
        dropped
    }

    /// The oldest snapshot still waiting.
    pub(crate) fn oldest(&self) -> Option<Closed> {
        self.lock().waiting.front().cloned()
    }

    /// Forgets a snapshot that is held elsewhere now.
    pub(crate) fn acknowledge(&self, key: &str) {
        let mut inner = self.lock();
        if let Some(at) = inner.waiting.iter().position(|closed| closed.key == key) {
            let held = inner.waiting.remove(at);
            inner.bytes -= held.map_or(0, |held| held.bytes.len());
        }
    }

    /// Snapshots dropped that no snapshot has told of; the caller's next one will.
    pub(crate) fn take_untold(&self) -> u64 {
        std::mem::take(&mut self.lock().untold)
    }

    /// How many snapshots wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn closed(number: usize, bytes: usize) -> Closed {
        Closed { key: number.to_string(), bytes: vec![0; bytes].into(), told_dropped: 0 }
    }

    #[test]
    fn the_oldest_goes_first_when_there_are_too_many() {
        let outbox = Outbox::default();
        for number in 0..MAX_SNAPSHOTS {
            assert!(!outbox.push(closed(number, 1)));
        }
        assert!(outbox.push(closed(99, 1)));
        assert_eq!(outbox.len(), MAX_SNAPSHOTS);
        assert_eq!(outbox.oldest().unwrap().key, "1");
        assert_eq!((outbox.take_untold(), outbox.take_untold()), (1, 0));
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let outbox = Outbox::default();
        assert!(!outbox.push(closed(0, MAX_BYTES)));
        outbox.acknowledge("0");
        outbox.acknowledge("0");
        assert!(!outbox.push(closed(1, MAX_BYTES)));
        assert!(outbox.push(closed(2, 1)));
        assert_eq!(outbox.oldest().unwrap().key, "2");
        assert!(outbox.push(closed(3, MAX_BYTES + 1)), "even the newest may be too large");
        assert_eq!(outbox.len(), 0);
        assert_eq!(outbox.take_untold(), 3);
    }

    #[test]
    fn a_lost_messenger_hands_its_news_on() {
        let outbox = Outbox::default();
        outbox.push(Closed { told_dropped: 5, ..closed(0, 1) });
        for number in 1..=MAX_SNAPSHOTS {
            outbox.push(closed(number, 1));
        }
        assert_eq!(outbox.take_untold(), 6);
    }
}
