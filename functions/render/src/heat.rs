//! Heat maps of a selection: the fleet over time, or invocations on top of each
//! other.

use axum::response::Response;
use flambeau_flame::{
    HeatMap,
    heatmap::{Across, Down, since_invocation},
};
use flambeau_profile::ValueType;
use flambeau_query::{Selection, fleet, plan};
use http::HeaderMap;

use crate::{
    answer::{self, Caching},
    error::RenderError,
    format::Format,
    profile::{Asked, Pinned, shown, within_limits},
    timeline::plan_column,
};

/// What rows may be beside the names of labels.
pub(crate) const INSTANCE: &str = "instance";
/// See [`INSTANCE`].
pub(crate) const PACKAGE: &str = "package";

/// `heatmap.json`: `by=instance` tells environments apart, `by=package` packages
/// since an invocation began, any other word the values of a label; of a type whose
/// samples say how long their invocation had run, over that time.
pub(crate) async fn answer(
    state: &crate::State,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let by = asked.query.by.as_deref().filter(|by| !by.is_empty()).unwrap_or(INSTANCE);
    let map = match by {
        PACKAGE => since(state, asked, Down::Package).await?,
        by => match by.strip_prefix("invocation:") {
            Some(label) => since(state, asked, Down::Label(label.to_owned())).await?,
            None => over_time(state, asked, by).await?,
        },
    };
    let mut out = Vec::new();
    map.write(&mut out)?;
    let name = asked.file_name();
    Ok(answer::view(Format::HeatMap, out, &name, None, Caching::Shortly, headers))
}

async fn since(state: &crate::State, asked: &Asked, down: Down) -> Result<HeatMap, RenderError> {
    let plan = within_limits(plan(&state.store, &asked.selection).await?)?;
    let (_, shown) = shown(state, asked, plan, &Pinned::No).await?;
    let column = asked.wish.shown_column(&shown)?;
    Ok(since_invocation(&shown.profile, column, &down)?)
}

async fn over_time(state: &crate::State, asked: &Asked, by: &str) -> Result<HeatMap, RenderError> {
    let now = jiff::Timestamp::now().into();
    let plan = within_limits(plan(&state.store, &asked.selection).await?)?;
    let column = plan_column(&plan, asked)?;
    // Where there is data: an open end would make columns of nothing.
    let selection = Selection { range: plan.span(), ..asked.selection.clone() };
    let (store, selection, aggregate) = (&state.store, &selection, asked.aggregate);
    let narrowing = &asked.wish.narrowing;
    let map = match by {
        INSTANCE if narrowing.is_none() => {
            fleet::instances(store, selection, now, column, aggregate).await?
        }
        INSTANCE => {
            let said = "environments are told apart by rows alone, which know no stacks and labels; \
                        ask without q and pprof's options, or by a label";
            return Err(RenderError::Parameter(said.to_owned()));
        }
        label => {
            fleet::by_label(store, selection, now, label, column, narrowing, aggregate).await?
        }
    };
    let measure = plan.sample_types().get(column).cloned().unwrap_or_default();
    Ok(drawn(map, &measure))
}

fn drawn(fleet: fleet::Fleet, measure: &(String, String)) -> HeatMap {
    let fleet::Fleet { start, step, columns, rows, more, others } = fleet;
    let mut named: Vec<(String, Vec<i128>)> =
        rows.into_iter().map(|row| (row.name, row.cells)).collect();
    if more > 0 {
        named.push((format!("{more} others"), others));
    }
    let ValueType { typ, unit } = ValueType::new(&measure.0, &measure.1);
    HeatMap::new(Across::Time, (start.0, step), columns, (&typ, &unit), named).with_folded(more)
}

#[cfg(test)]
mod tests {
    use flambeau_flame::heatmap::SINCE_LABEL;
    use flambeau_layout::timeline::INVOCATION_MS;

    #[test]
    fn what_the_sdk_writes_is_what_is_read() {
        assert_eq!(SINCE_LABEL, INVOCATION_MS);
    }
}
