//! What readers meet: many questions over random ranges, at random times.

use flambeau_layout::UnixMillis;
use flambeau_query::Range;
use flambeau_random::Random;

use crate::{
    ask::Asked,
    life::Life,
    shape::{BEGIN, DAY, HOUR, MINUTE},
};

/// Ranges as people ask for them: name and length in milliseconds.
pub const RANGES: [(&str, i64); 5] =
    [("hour", HOUR), ("day", DAY), ("week", 7 * DAY), ("month", 30 * DAY), ("year", 365 * DAY)];

/// Objects read on average, per log2 of the range's minutes: the stated bound.
/// Most of it is the minutes at both edges, with up to three blocks in each.
pub const MEAN_PER_LOG: f64 = 45.0;
/// Most objects read, per log2 of the range's minutes.
pub const MOST_PER_LOG: f64 = 71.0;
/// A year of a service that hardly runs is its eleven whole months and some
/// days: more than twice its month, and still next to nothing.
pub const FEW: f64 = 20.0;

/// Questions over one length of range.
#[derive(Debug, Clone, Default)]
pub struct Answers(Vec<Asked>);

impl Answers {
    /// Mean of something over all questions.
    #[must_use]
    pub fn mean(&self, of: impl Fn(&Asked) -> f64) -> f64 {
        self.0.iter().map(of).sum::<f64>() / self.0.len().max(1) as f64
    }

    /// The largest of 99 in a hundred questions.
    #[must_use]
    pub fn p99(&self, of: impl Fn(&Asked) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get((values.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// The largest of all.
    #[must_use]
    pub fn max(&self, of: impl Fn(&Asked) -> f64) -> f64 {
        self.0.iter().map(of).fold(0.0, f64::max)
    }
}

/// Objects read.
#[must_use]
pub fn blocks(asked: &Asked) -> f64 {
    asked.blocks as f64
}

/// What one function's readers met, for each of [`RANGES`].
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Ranges that end now.
    pub recent: [Answers; 5],
    /// Ranges that lie anywhere in what is held.
    pub anywhere: [Answers; 5],
}

impl Reading {
    /// Asks `times` times at this moment, each range both ways.
    pub fn ask(&mut self, life: &Life<'_>, random: &mut Random, times: usize) {
        let now = life.now().0;
        for _ in 0..times {
            for (index, (_, length)) in RANGES.iter().enumerate() {
                let last = now + random.millis_below(MINUTE);
                self.recent[index].0.push(life.ask(ending(last, *length)));
                let room = (now - BEGIN - length).max(1);
                let last = now - random.millis_below(room);
                self.anywhere[index].0.push(life.ask(ending(last, *length)));
            }
        }
    }

    /// Both ways together.
    #[must_use]
    pub fn all(&self, range: usize) -> Answers {
        let (recent, anywhere) = (&self.recent[range].0, &self.anywhere[range].0);
        Answers(recent.iter().chain(anywhere).copied().collect())
    }
}

fn ending(last: i64, length: i64) -> Range {
    Range { from: UnixMillis(last - length), until: UnixMillis(last) }
}

/// Lives on until `until` and asks at `stops` random moments on the way.
#[must_use]
pub fn read_along(life: &mut Life<'_>, until: i64, stops: usize, times: usize) -> Reading {
    let mut random = Random::new(life.settings.seed ^ 0x5ca1_e000);
    let begin = life.now().0;
    let mut moments: Vec<i64> =
        (0..stops).map(|_| begin + random.millis_below(until - begin)).collect();
    moments.sort_unstable();
    let mut reading = Reading::default();
    for moment in moments {
        life.live(moment);
        reading.ask(life, &mut random, times);
    }
    life.live(until);
    reading
}

/// log2 of a range's minutes: what reading is allowed to grow with.
#[must_use]
pub fn log_minutes(range: usize) -> f64 {
    ((RANGES[range].1 / MINUTE) as f64).log2()
}
