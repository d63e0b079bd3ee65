//! What a million snapshots of the whole fleet cost.

use crate::{
    fleet::{Fleet, Settings},
    ledger::Ledger,
    life::Life,
    shape::{BEGIN, DAY, HOUR, SHAPES, Shape},
};

/// Lets one function live for some hours from a Tuesday on, then settle until
/// all of it has gone into days; answers what a million of its snapshots cost.
#[must_use]
pub fn of_shape(shape: &Shape, fleet: &Fleet, settings: Settings, hours: i64) -> Ledger {
    let begin = BEGIN + 5 * DAY;
    let mut life = Life::born(shape, fleet, settings, begin);
    life.live(begin + hours * HOUR);
    life.settle(begin + hours * HOUR + 26 * HOUR);
    life.ledger
}

/// What a million snapshots of the fleet cost, by what each of its functions
/// wrote and how often.
#[must_use]
pub fn of_fleet(ledgers: &[(&Shape, Ledger)], fleet: &Fleet, settings: &Settings) -> Ledger {
    let mut sum = Ledger::default();
    for (shape, ledger) in ledgers.iter().filter(|(_, ledger)| ledger.snapshots > 0.0) {
        sum += ledger.times(f64::from(shape.functions) * weekly(shape) / ledger.snapshots);
    }
    sum.indexes = sum.snapshots * fleet.index_calls(settings);
    // Five pollers ask the queue at least every 20 s.
    sum.messages += 5.0 * 3.0 * 7.0 * 1440.0;
    sum.per_million()
}

/// Snapshots of one function in a week.
#[must_use]
pub fn weekly(shape: &Shape) -> f64 {
    let minutes = (0..7 * 1440).map(|minute| BEGIN + minute * crate::shape::MINUTE);
    let rate = |time| (shape.rate)(crate::shape::Moment::of(time));
    match shape.average {
        Some(average) => average * 7.0 * 1440.0,
        None => minutes.map(rate).sum(),
    }
}

/// Does something with each shape, as many at a time as there are processors.
pub fn each_shape<T: Send>(run: impl Fn(&'static Shape) -> T + Sync) -> Vec<(&'static Shape, T)> {
    let shapes: Vec<&'static Shape> = SHAPES.iter().collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // The last shapes take longest: they begin first.
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(shape) = shapes.iter().rev().nth(index) else { break };
                    let made = (shapes.len() - index, (*shape, run(shape)));
                    if let Ok(mut done) = done.lock() {
                        done.push(made);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(order, _)| *order);
    done.into_iter().map(|(_, made)| made).collect()
}
