//! Timed profiles that were kept whole.

use flambeau_layout::{Level, Trace, UnixMillis};
use flambeau_store::Store;

use crate::{
    plan::{QueryError, Selection, merged_rows},
    select,
};

/// Where a timed profile lies that was kept whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePlace {
    /// The block it is told of by, and its number there: `{block}.{number}`.
    pub id: String,
    /// When it ended.
    pub end: UnixMillis,
    /// The trace.
    pub trace: Trace,
}

/// The timed profiles of a selection, the newest first, by rows alone.
///
/// # Errors
/// When the store fails.
pub async fn traces(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
) -> Result<Vec<TracePlace>, QueryError> {
    let range = select::round(selection.range, now, Level::Minute).range;
    let mut places = Vec::new();
    for row in merged_rows(store, selection, range).await? {
        for (number, trace) in row.traces.iter().enumerate().filter(|(_, t)| t.typ == selection.typ)
        {
            let end = row.window.start.plus_millis(trace.offset);
            places.push(TracePlace {
                id: format!("{}.{number}", row.block),
                end,
                trace: trace.clone(),
            });
        }
    }
    places.sort_by_key(|place| std::cmp::Reverse(place.end));
    Ok(places)
}
