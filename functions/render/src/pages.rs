//! Pages for people: HTML made here, complete without script; the script draws
//! what it finds named in `data-` attributes.

pub(crate) mod diff;
mod empty;
pub(crate) mod profile;
mod selection;
pub(crate) mod services;
pub(crate) mod traces;

use flambeau_layout::UnixMillis;

use crate::{access::Admitted, assets, timeline::Chart};

/// What all pages have.
pub(crate) struct Head {
    pub(crate) title: String,
    pub(crate) script: String,
    pub(crate) style: String,
    /// Until when a guest, on a link, is let in.
    pub(crate) guest_until: Option<String>,
}

impl Head {
    pub(crate) fn of(title: impl Into<String>, admitted: Option<&Admitted>) -> Self {
        let guest_until = match admitted {
            Some(Admitted::Link(link)) => Some(UnixMillis(link.expires * 1000).to_string()),
            _ => None,
        };
        let (script, style) = (assets::SCRIPT.href(), assets::STYLE.href());
        Self { title: title.into(), script, style, guest_until }
    }
}

/// A link among others of its kind.
pub(crate) struct Tab {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) current: bool,
}

impl Tab {
    fn to(name: impl Into<String>, href: impl Into<String>) -> Self {
        Self { name: name.into(), href: href.into(), current: false }
    }
}

/// A condition that can be taken away.
pub(crate) struct Chip {
    pub(crate) text: String,
    pub(crate) without: String,
}

/// A chart with what a brush over it needs.
pub(crate) struct ChartView {
    pub(crate) chart: Chart,
    /// The part that is looked at, in per cent of the width; `None` is all of it.
    pub(crate) lens: Option<(f64, f64)>,
    pub(crate) title: String,
}

impl ChartView {
    fn of(chart: Chart, lens: Option<flambeau_query::Range>, title: String) -> Self {
        let width = (chart.until.0 - chart.from.0).max(1) as f64;
        let share =
            |at: UnixMillis| ((at.0 - chart.from.0) as f64 / width * 100.0).clamp(0.0, 100.0);
        let lens = lens.map(|range| {
            let (from, until) = (share(range.from), share(range.until));
            (round(from), round((until - from).max(0.2)))
        });
        Self { chart, lens, title }
    }
}

fn round(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

/// So many of something, in words.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A time as people read it: to the second, UTC.
pub(crate) fn said(time: UnixMillis) -> String {
    let text = time.to_string();
    let seconds = text.split('.').next().unwrap_or(&text).trim_end_matches('Z');
    format!("{} UTC", seconds.replace('T', " "))
}
