//! A running invocation's time: noted at each change of owner, settled every now and then.

use super::share::Split;
use super::tree::Tree;

/// One invocation that has begun and not ended.
pub(super) struct Running {
    pub(super) id: u64,
    /// Up to where its time is noted.
    noted: u64,
    /// All its time that is noted.
    pub(super) wall: u64,
    /// Noted and not settled, by the path that owned it.
    entered: Pending,
    idle: Pending,
    /// Time of threads inside its spans, not settled: two of them count twice.
    threads: u64,
}

/// Wall time by path. A few paths at a time, so a list.
#[derive(Default)]
struct Pending {
    paths: Vec<(u32, u64)>,
    total: u64,
}

/// What settling finds out about a path.
pub(super) struct Settled {
    pub(super) path: u32,
    pub(super) waiting: u64,
    pub(super) on_cpu: u64,
}

impl Running {
    pub(super) fn new(id: u64, at: u64) -> Self {
        let (entered, idle) = (Pending::default(), Pending::default());
        Self { id, noted: at, wall: 0, entered, idle, threads: 0 }
    }

    /// Gives the time since the last change to those who own it: the spans that threads are in,
    /// or else those that wait, or else the invocation itself (path 0); equally. Returns how
    /// much it was. A clock that went back adds nothing until it has caught up.
    pub(super) fn note(&mut self, now: u64, tree: &Tree) -> u64 {
        let passed = now.saturating_sub(self.noted);
        if passed == 0 {
            return 0;
        }
        self.noted = now;
        self.wall += passed;
        let inside = tree.entered(self.id).count() as u64;
        if inside > 0 {
            self.threads = self.threads.saturating_add(passed.saturating_mul(inside));
            self.entered.add(passed, inside, tree.entered(self.id).map(|path| (path, 1)));
            return passed;
        }
        let leaves = tree.waiting(self.id).map(|(_, count)| u64::from(count)).sum();
        if leaves > 0 {
            self.idle.add(passed, leaves, tree.waiting(self.id));
        } else {
            self.idle.add(passed, 1, std::iter::once((0, 1)));
        }
        passed
    }

    /// How much is noted and not settled.
    pub(super) fn pending(&self) -> u64 {
        self.entered.total + self.idle.total
    }

    /// What its part of the process's CPU time is reckoned by: the time of threads in its
    /// spans.
    pub(super) fn threads(&self) -> u64 {
        self.threads
    }

    /// Divides what is pending into time on CPU, at most `cpu`, and waiting. Who was inside no
    /// thread waited first; then those inside, in proportion: a thread can block in its span.
    pub(super) fn settle(&mut self, cpu: u64, mut tell: impl FnMut(Settled)) {
        let waiting = self.pending().saturating_sub(cpu);
        let idle = waiting.min(self.idle.total);
        self.idle.settle(idle, &mut tell);
        self.entered.settle(waiting - idle, &mut tell);
        self.threads = 0;
    }

    /// The paths that own the time from now on, each as often as it has shares.
    pub(super) fn owners<'t>(&self, tree: &'t Tree) -> impl Iterator<Item = u32> + 't {
        let entered = tree.entered(self.id);
        let none = entered.clone().next().is_none();
        let idle = tree.waiting(self.id).filter(move |_| none);
        // Where no span has begun, the invocation itself.
        let alone = none && tree.waiting(self.id).next().is_none();
        entered
            .chain(idle.flat_map(|(path, count)| std::iter::repeat_n(path, count as usize)))
            .chain(alone.then_some(0))
    }
}

impl Pending {
    fn add(&mut self, wall: u64, shares: u64, owners: impl Iterator<Item = (u32, u32)>) {
        let mut split = Split::new(wall, shares);
        self.total += wall;
        for (path, count) in owners {
            let share = split.next(count.into());
            match self.paths.iter_mut().rev().find(|(known, _)| *known == path) {
                Some((_, sum)) => *sum += share,
                None => self.paths.push((path, share)),
            }
        }
    }

    fn settle(&mut self, waiting: u64, tell: &mut impl FnMut(Settled)) {
        let mut split = Split::new(waiting, self.total);
        for (path, wall) in self.paths.drain(..) {
            let waiting = split.next(wall);
            tell(Settled { path, waiting, on_cpu: wall - waiting });
        }
        self.total = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(running: &mut Running, cpu: u64) -> Vec<(u32, u64, u64)> {
        let mut told = Vec::new();
        running.settle(cpu, |settled| told.push((settled.path, settled.waiting, settled.on_cpu)));
        told
    }

    /// A span on path `path` that thread `thread` is in.
    fn inside(tree: &mut Tree, thread: u64, path: u32) -> u32 {
        let id = tree.open(None, path, 1);
        tree.enter(thread, id);
        id
    }

    #[test]
    fn without_spans_the_invocation_itself_owns_its_time() {
        let mut running = Running::new(1, 100);
        assert_eq!(running.note(150, &Tree::default()), 50);
        assert_eq!(running.note(140, &Tree::default()), 0, "a clock that goes back");
        assert_eq!(running.note(150, &Tree::default()), 0);
        assert_eq!(settle(&mut running, 20), [(0, 30, 20)]);
        assert_eq!((running.pending(), running.wall), (0, 50));
    }

    #[test]
    fn threads_share_and_a_blocked_one_waits_in_its_span() {
        let (mut tree, mut running) = (Tree::default(), Running::new(1, 0));
        inside(&mut tree, 1, 7);
        inside(&mut tree, 2, 8);
        running.note(101, &tree);
        assert_eq!(running.threads(), 202);
        assert_eq!(settle(&mut running, 0), [(7, 50, 0), (8, 51, 0)]);
        assert_eq!(running.note(201, &tree), 100);
        assert_eq!(settle(&mut running, 1_000), [(7, 0, 50), (8, 0, 50)]);
    }

    #[test]
    fn who_is_in_no_thread_waited_first() {
        let (mut tree, mut running) = (Tree::default(), Running::new(1, 0));
        let span = inside(&mut tree, 1, 7);
        running.note(100, &tree);
        tree.exit(span);
        tree.set_top(1, None);
        running.note(400, &tree);
        assert_eq!(settle(&mut running, 90), [(7, 300, 0), (7, 10, 90)]);
        assert_eq!(running.owners(&tree).collect::<Vec<_>>(), [7]);
    }
}
