//! Ten shapes of traffic. One function of each is simulated; `functions` says
//! for how many it stands, a thousand in all.

use flambeau_random::Random;

/// Milliseconds of a minute.
pub const MINUTE: i64 = 60_000;
/// Milliseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds of a day.
pub const DAY: i64 = 24 * HOUR;
/// When simulations begin: Thursday, 2026-01-01, UTC.
pub const BEGIN: i64 = 1_767_225_600_000;

/// A minute on the calendar.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Days since the epoch.
    pub day: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// Minute of the day.
    pub minute: i64,
}

impl Moment {
    /// The minute in which this time (milliseconds since the epoch) falls.
    #[must_use]
    pub fn of(millis: i64) -> Self {
        let day = millis.div_euclid(DAY);
        let minute = millis.rem_euclid(DAY) / MINUTE;
        // The epoch was a Thursday.
        Self { day, weekday: (day + 4).rem_euclid(7), minute }
    }

    fn between(self, from_hour: i64, until_hour: i64) -> bool {
        (from_hour * 60..until_hour * 60).contains(&self.minute)
    }

    fn in_office(self) -> bool {
        (1..=5).contains(&self.weekday) && self.between(8, 18)
    }

    fn of_deploy(self) -> bool {
        [2, 4].contains(&self.weekday) && self.between(14, 16)
    }
}

/// How one kind of function is called.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Its name in tables.
    pub name: &'static str,
    /// Functions it stands for.
    pub functions: u32,
    /// Snapshots of one function in this minute, on average.
    pub rate: fn(Moment) -> f64,
    /// The same averaged over functions whose peaks do not coincide.
    pub average: Option<f64>,
    /// How many versions it has had by now.
    pub version: fn(Moment) -> i64,
}

fn steady(_: Moment) -> i64 {
    1
}

/// Every other Monday.
fn fortnightly(moment: Moment) -> i64 {
    moment.day / 14
}

/// Tuesdays and Thursdays: both versions run for two hours, in turns.
fn twice_a_week(moment: Moment) -> i64 {
    // Weeks begin on Sundays; day 3 was the first.
    let week = (moment.day - 3).div_euclid(7);
    let deployed =
        |day: i64| moment.weekday > day || (moment.weekday == day && moment.minute >= 960);
    let half = moment.of_deploy() && moment.minute % 2 == 0;
    week * 2 + i64::from(deployed(2)) + i64::from(deployed(4)) + i64::from(half)
}

/// Six times a day ten minutes, at times that differ from day to day.
fn burst(moment: Moment) -> f64 {
    let begins = |n: u64| {
        let mut random = Random::new(moment.day.unsigned_abs() * 6 + n);
        random.millis_below(1430)
    };
    let inside = (0..6).any(|n| (begins(n)..begins(n) + 10).contains(&moment.minute));
    if inside { 25.0 } else { 0.0 }
}

fn when(holds: bool, rate: f64) -> f64 {
    if holds { rate } else { 0.0 }
}

/// The ten shapes.
pub const SHAPES: [Shape; 10] = [
    Shape {
        name: "constant hot",
        functions: 20,
        rate: |_| 20.0,
        average: None,
        version: fortnightly,
    },
    Shape {
        name: "office hours",
        functions: 250,
        rate: |now| when(now.in_office(), 3.0),
        average: None,
        version: fortnightly,
    },
    Shape {
        name: "once a minute",
        functions: 150,
        rate: |_| 1.0,
        average: None,
        version: fortnightly,
    },
    Shape {
        name: "once an hour",
        functions: 150,
        rate: |now| when(now.minute % 60 == 17, 1.0),
        average: Some(1.0 / 60.0),
        version: fortnightly,
    },
    Shape {
        name: "nightly batch",
        functions: 80,
        rate: |now| when((120..150).contains(&now.minute), 40.0),
        average: None,
        version: fortnightly,
    },
    Shape { name: "bursty", functions: 100, rate: burst, average: Some(1.0), version: fortnightly },
    Shape {
        name: "weekly",
        functions: 40,
        rate: |now| when(now.weekday == 0 && now.between(4, 5), 10.0),
        average: None,
        version: steady,
    },
    Shape {
        name: "deploy days",
        functions: 60,
        rate: |now| if now.of_deploy() { 20.0 } else { 1.0 },
        average: None,
        version: twice_a_week,
    },
    Shape {
        name: "cold",
        functions: 149,
        rate: |_| 4.0 / (30.0 * 1440.0),
        average: None,
        version: steady,
    },
    Shape {
        name: "huge (1 200 environments)",
        functions: 1,
        rate: |_| 1200.0,
        average: None,
        version: twice_a_week,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_for_a_thousand_functions() {
        assert_eq!(SHAPES.iter().map(|shape| shape.functions).sum::<u32>(), 1000);
    }

    #[test]
    fn the_calendar_is_right() {
        let first = Moment::of(BEGIN);
        assert_eq!((first.weekday, first.minute), (4, 0));
        let sunday = Moment::of(BEGIN + 3 * DAY + 4 * HOUR);
        assert_eq!(((SHAPES[6].rate)(sunday), (SHAPES[1].rate)(sunday)), (10.0, 0.0));
    }
}
