//! What is known of threads by the place they are started from.
//!
//! A thread of two milliseconds seldom meets a tick of the kernel's, so most such threads end
//! without a sample. Their CPU time is known all the same, and a sibling started at the same
//! place that was sampled shows where it went: the stacks of the sampled ones are a fair draw
//! from all of them.

use std::collections::BTreeMap;

/// Most places that are remembered; threads of further ones stand for themselves.
pub(crate) const MAX_SITES: usize = 256;

/// The place of threads that nobody saw starting.
pub(crate) const UNKNOWN: u64 = 0;

/// The threads of one place, so far.
#[derive(Debug, Default)]
struct Site {
    stack: Box<[u64]>,
    threads: u64,
    cpu: u64,
}

/// Places by a hash of the stack that starts a thread.
#[derive(Debug, Default)]
pub(crate) struct Sites(BTreeMap<u64, Site>);

impl Sites {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// A thread of this place ended after `cpu` nanoseconds; `stack` was seen of it.
    pub(crate) fn ended(&mut self, site: u64, cpu: u64, stack: &[u64]) {
        let is_new = !self.0.contains_key(&site);
        if site == UNKNOWN || (is_new && self.0.len() >= MAX_SITES) {
            return;
        }
        let known = self.0.entry(site).or_default();
        known.threads += 1;
        known.cpu = known.cpu.saturating_add(cpu);
        if !stack.is_empty() {
            known.stack = stack.into();
        }
    }

    /// The stack of the thread of this place that was sampled last; empty if none was.
    pub(crate) fn stack(&self, site: u64) -> &[u64] {
        self.0.get(&site).map_or(&[], |site| &site.stack)
    }

    /// Whether threads of this place seldom live for `period` nanoseconds of CPU. The first
    /// tick that meets such a thread should take a sample, for there may be no second.
    pub(crate) fn are_short(&self, site: u64, period: u64) -> bool {
        self.0.get(&site).is_some_and(|site| site.cpu / site.threads.max(1) < period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sampled_sibling_stands_for_the_others() {
        let mut sites = Sites::new();
        assert!(sites.stack(1).is_empty() && !sites.are_short(1, 100));
        sites.ended(1, 90, &[5, 6]);
        sites.ended(1, 80, &[]);
        assert_eq!(sites.stack(1), [5, 6]);
        assert!(sites.stack(2).is_empty());
        assert!(sites.are_short(1, 86) && !sites.are_short(1, 85));
        sites.ended(1, 80, &[7]);
        assert_eq!(sites.stack(1), [7]);
    }

    #[test]
    fn places_are_bounded() {
        let mut sites = Sites::new();
        for site in UNKNOWN..=MAX_SITES as u64 + 1 {
            sites.ended(site, 1, &[site]);
        }
        assert!(sites.stack(UNKNOWN).is_empty());
        assert_eq!(sites.stack(MAX_SITES as u64), [MAX_SITES as u64]);
        assert!(sites.stack(MAX_SITES as u64 + 1).is_empty());
        sites.ended(1, 1, &[9]);
        assert_eq!(sites.stack(1), [9], "known places go on");
    }
}
