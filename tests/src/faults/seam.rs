//! Faults at the store's seam: by script, effect by effect, or by a seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flambeau_store::{Effect, ErrorKind, Hook, Seam, StoreError};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::Random;

/// What becomes of one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It happens.
    Pass,
    /// It does not happen, and the caller is told so.
    FailBefore,
    /// It happens, and the caller is told it did not: a lost answer.
    FailAfter,
    /// The worker dies before it: this effect and all later ones fail.
    KillBefore,
    /// It happens and is the worker's last.
    KillAfter,
    /// It happens twice.
    Repeat,
    /// Others get to run first.
    Delay,
    /// It waits until [`Faults::release`].
    Pause,
}

impl Outcome {
    /// Those that a crash matrix goes through.
    pub const MATRIX: [Self; 5] =
        [Self::FailBefore, Self::FailAfter, Self::KillBefore, Self::KillAfter, Self::Repeat];
}

/// How often in a thousand effects each outcome falls.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Failing, half of them before and half after the effect.
    pub fail: usize,
    /// Dying, likewise.
    pub kill: usize,
    /// Happening twice.
    pub repeat: usize,
    /// Waiting.
    pub delay: usize,
}

enum Plan {
    Script(BTreeMap<usize, Outcome>),
    Seeded(Random, Rates),
}

/// Called after each effect that happened.
type Observer = Box<dyn Fn(Effect) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// One worker's faults.
pub struct Faults {
    state: Mutex<State>,
    observer: Option<Observer>,
    arrived: Semaphore,
    released: Semaphore,
}

struct State {
    plan: Plan,
    dead: bool,
    effects: Vec<(Effect, Outcome)>,
    /// Effects that are under way, with what shall come after them.
    open: Vec<(Effect, Outcome)>,
    observed: Vec<String>,
}

impl Faults {
    fn new(plan: Plan, observer: Option<Observer>) -> Arc<Self> {
        let state = State {
            plan,
            dead: false,
            effects: Vec::new(),
            open: Vec::new(),
            observed: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            observer,
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        })
    }

    /// Faults by script: effect number (from 0) → outcome. An empty script
    /// only counts.
    #[must_use]
    pub fn script(script: impl IntoIterator<Item = (usize, Outcome)>) -> Arc<Self> {
        Self::new(Plan::Script(script.into_iter().collect()), None)
    }

    /// Faults by chance, repeatable by the generator's seed.
    #[must_use]
    pub fn seeded(random: Random, rates: Rates) -> Arc<Self> {
        Self::new(Plan::Seeded(random, rates), None)
    }

    /// No faults, but someone who looks after each effect that happened; what
    /// it complains of is in [`Faults::complaints`].
    #[must_use]
    pub fn observed(
        script: impl IntoIterator<Item = (usize, Outcome)>,
        observer: impl Fn(Effect) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::new(Plan::Script(script.into_iter().collect()), Some(Box::new(observer)))
    }

    /// Every effect that was tried so far, with its outcome, in order.
    #[must_use]
    pub fn effects(&self) -> Vec<(Effect, Outcome)> {
        self.state().effects.clone()
    }

    /// What the observer found wrong.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.state().observed.clone()
    }

    /// Whether the worker has died: what it answers reaches nobody.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Waits until an effect stands still by [`Outcome::Pause`].
    pub async fn paused(&self) {
        if let Ok(permit) = self.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Lets one effect that stands still go on.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stand_still(&self) {
        self.arrived.add_permits(1);
        if let Ok(permit) = self.released.acquire().await {
            permit.forget();
        }
    }

    async fn observe(&self, effect: &Effect) {
        let Some(observer) = &self.observer else { return };
        if let Err(error) = observer(effect.clone()).await {
            self.state().observed.push(format!("after {effect}: {error:#}"));
        }
    }
}

impl State {
    fn decide(&mut self, effect: &Effect) -> Outcome {
        let number = self.effects.len();
        let outcome = match &mut self.plan {
            _ if self.dead => Outcome::KillBefore,
            Plan::Script(script) => script.get(&number).copied().unwrap_or(Outcome::Pass),
            Plan::Seeded(random, rates) => rates.draw(random),
        };
        self.dead |= outcome == Outcome::KillBefore;
        self.effects.push((effect.clone(), outcome));
        self.open.push((effect.clone(), outcome));
        outcome
    }

    /// What was decided for an effect that has happened now.
    fn close(&mut self, effect: &Effect) -> Outcome {
        let found = self.open.iter().position(|(open, _)| open == effect);
        let outcome = found.map_or(Outcome::Pass, |index| self.open.swap_remove(index).1);
        self.dead |= outcome == Outcome::KillAfter;
        outcome
    }
}

impl Rates {
    fn draw(&self, random: &mut Random) -> Outcome {
        let before = random.per_mille(500);
        let either = |a, b| if before { a } else { b };
        match random.below(1000) {
            n if n < self.fail => either(Outcome::FailBefore, Outcome::FailAfter),
            n if n < self.fail + self.kill => either(Outcome::KillBefore, Outcome::KillAfter),
            n if n < self.fail + self.kill + self.repeat => Outcome::Repeat,
            n if n < self.fail + self.kill + self.repeat + self.delay => Outcome::Delay,
            _ => Outcome::Pass,
        }
    }
}

fn fault(kind: ErrorKind, effect: &Effect, why: &str) -> StoreError {
    StoreError::new(kind, effect.to_string(), why)
}

/// Turns of the runtime that a delayed effect gives away: enough for others to
/// finish a request on the same runtime, and no clock.
const DELAY_TURNS: usize = 50;

impl Seam for Faults {
    fn before<'a>(&'a self, effect: &'a Effect) -> Hook<'a, usize> {
        Box::pin(async move {
            let outcome = self.state().decide(effect);
            match outcome {
                Outcome::FailBefore => {
                    Err(fault(ErrorKind::Throttled, effect, "injected: slow down"))
                }
                Outcome::KillBefore => {
                    Err(fault(ErrorKind::Unavailable, effect, "injected: worker is dead"))
                }
                Outcome::Repeat => Ok(2),
                Outcome::Delay => {
                    for _ in 0..DELAY_TURNS {
                        tokio::task::yield_now().await;
                    }
                    Ok(1)
                }
                Outcome::Pause => {
                    self.stand_still().await;
                    Ok(1)
                }
                Outcome::Pass | Outcome::FailAfter | Outcome::KillAfter => Ok(1),
            }
        })
    }

    fn after<'a>(&'a self, effect: &'a Effect) -> Hook<'a, ()> {
        Box::pin(async move {
            let outcome = self.state().close(effect);
            self.observe(effect).await;
            match outcome {
                Outcome::FailAfter => {
                    Err(fault(ErrorKind::Unavailable, effect, "injected: the answer was lost"))
                }
                Outcome::KillAfter => {
                    Err(fault(ErrorKind::Unavailable, effect, "injected: worker died after it"))
                }
                _ => Ok(()),
            }
        })
    }
}

/// A reader's seam: somebody else acts before each page of rows is read.
pub struct Between<F>(
    /// Acts, knowing what is about to be read.
    pub F,
);

impl<F> Seam for Between<F>
where
    F: Fn(&str) -> BoxFuture<'static, ()> + Send + Sync,
{
    fn reading<'a>(&'a self, what: &'a str) -> Hook<'a, ()> {
        Box::pin(async move {
            (self.0)(what).await;
            Ok(())
        })
    }
}
