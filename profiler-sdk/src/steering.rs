//! What the owners of the service want of this environment.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flambeau_layout::{BootId, Steering};
use tracing::{info, warn};

use crate::settings::Settings;

/// The steering in force, and what was said of one that is not.
pub(crate) struct Steered {
    current: Mutex<Steering>,
    /// A broken document is one warning, not one per flush.
    complained: Mutex<Option<String>>,
}

/// Whether a span is sampled, and how many times each of its values counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) sampled: bool,
    pub(crate) weight: u32,
}

impl Share {
    /// Of `one_in` boots one is sampled and stands for all of them, so that
    /// totals stay what they are on average.
    fn of(boot: &BootId, one_in: u32) -> Self {
        Self { sampled: lot(boot).is_multiple_of(one_in.max(1)), weight: one_in.max(1) }
    }
}

/// A boot's lot: it is random already.
fn lot(boot: &BootId) -> u32 {
    boot.as_str().bytes().fold(0, |lot: u32, byte| lot.wrapping_mul(31).wrapping_add(byte.into()))
}

impl Steered {
    pub(crate) fn new() -> Self {
        Self { current: Mutex::new(Steering::nothing()), complained: Mutex::new(None) }
    }

    /// Takes a document, or its absence. One that cannot be used changes nothing.
    pub(crate) fn take(&self, document: Option<&[u8]>) {
        let read = document.map_or(Ok(Steering::nothing()), Steering::read);
        let mut complained = lock(&self.complained);
        match read {
            Ok(steering) => {
                *complained = None;
                let before = std::mem::replace(&mut *lock(&self.current), steering);
                if before != steering {
                    info!(?steering, "profiling is steered");
                }
            }
            Err(error) => {
                let error = error.to_string();
                if complained.as_ref() != Some(&error) {
                    warn!(%error, "steering stays as it was");
                    *complained = Some(error);
                }
            }
        }
    }

    /// Least time between two snapshots.
    pub(crate) fn interval(&self, settings: &Settings) -> Duration {
        lock(&self.current).interval_secs.map_or(settings.interval, Duration::from_secs)
    }

    /// What a span that begins now is to this boot.
    pub(crate) fn share(&self, boot: &BootId) -> Share {
        Share::of(boot, lock(&self.current).one_in.unwrap_or(1))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Boots as random as they are, but the same in every run.
    fn boots(count: u64) -> impl Iterator<Item = BootId> {
        (0..count).map(|i| {
            let half = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let other = (half ^ (half >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&half.to_le_bytes());
            bytes[8..].copy_from_slice(&(other ^ (other >> 32)).to_le_bytes());
            BootId::from_bytes(bytes)
        })
    }

    #[test]
    fn weights_make_up_for_those_left_out() {
        for one_in in [1, 2, 3, 10, 100] {
            let shares = boots(100_000).map(|boot| Share::of(&boot, one_in));
            let counted: u64 =
                shares.filter(|share| share.sampled).map(|share| u64::from(share.weight)).sum();
            // Five standard deviations of the binomial, and exact where all are sampled.
            let spread = 5.0 * (100_000.0 * f64::from(one_in - 1)).sqrt();
            assert!((counted as f64 - 100_000.0).abs() <= spread, "1 in {one_in}: {counted}");
        }
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let steered = Steered::new();
        let boot = boots(1).next().unwrap();
        steered.take(Some(br#"{"v":1,"one_in":7}"#));
        steered.take(Some(b"rubbish"));
        assert_eq!(steered.share(&boot).weight, 7);
        steered.take(None);
        assert_eq!(steered.share(&boot), Share { sampled: true, weight: 1 });
    }
}
