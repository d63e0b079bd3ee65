//! `/diff/{service}/{type}`: two selections of one profile side by side.
//!
//! Every parameter of a profile holds for both sides; behind `a.` it holds for the
//! base, behind `b.` for the subject.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Query, State},
    response::Response,
};
use flambeau_flame::{
    Graph, Stacks,
    diff::{Basis, Drawn, Pair, Part, Side},
    diff_json, diff_svg,
};
use flambeau_layout::{Activity, ProfileType, ServiceName};
use flambeau_profile::{DEFAULT_LEVEL, Limits, Merged};
use flambeau_query::{
    Aggregate, Group, Plan, QueryError, Selection, groups, plan, plan_apart, read_planned,
};
use http::{HeaderMap, Uri};
use serde::Deserialize;

use crate::{
    access::Admitted,
    answer::{self, Caching},
    error::RenderError,
    format::Format,
    pages,
    params::Params,
    profile::{sent, within_limits},
    request::{ProfileQuery, given},
    shown::{Weighs, Wish},
};

/// Into how many parts a side is read, to see how it varies: at least so many
/// blocks are looked for, and at most so many read one by one.
const BLOCKS: (usize, usize) = (8, 128);
/// Most parts of a side.
const MOST_PARTS: usize = 16;

/// What is asked of a difference as a whole.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct DiffQuery {
    norm: Option<String>,
    basis: Option<String>,
    drawn: Option<String>,
}

/// What is asked of one side.
pub(crate) struct AskedSide {
    pub(crate) selection: Selection,
    pub(crate) query: ProfileQuery,
    pub(crate) wish: Wish,
    pub(crate) aggregate: Aggregate,
    pub(crate) params: Params,
}

/// Everything that is asked of a difference.
pub(crate) struct AskedDiff {
    pub(crate) format: Format,
    pub(crate) basis: Basis,
    pub(crate) drawn: Drawn,
    pub(crate) base: AskedSide,
    pub(crate) subject: AskedSide,
    pub(crate) params: Params,
}

impl Params {
    /// What holds for one side: what is said for both, and over it what is said for
    /// this one.
    pub(crate) fn side(&self, prefix: &str) -> Self {
        let both = self.pairs().filter(|(name, _)| !name.contains('.'));
        let mut params: Self = both.collect();
        for (name, value) in self.pairs() {
            if let Some(name) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) {
                params.set(name, value);
            }
        }
        params
    }
}

impl AskedSide {
    fn read(
        state: &crate::State,
        (service, typ): &(ServiceName, ProfileType),
        params: Params,
    ) -> Result<Self, RenderError> {
        let uri: Uri = format!("/{}", params.href()).parse().map_err(|_| {
            RenderError::Parameter("the query of one side cannot be read".to_owned())
        })?;
        let Query(query) = Query::<ProfileQuery>::try_from_uri(&uri)?;
        let (tenant, range) = (state.tenant.clone(), query.range()?);
        let (service, typ) = (service.clone(), typ.clone());
        let (wish, aggregate) = (Wish::of(&query, state.pricing)?, query.aggregate()?);
        let selection = Selection { tenant, service, typ, range };
        Ok(Self { selection, query, wish, aggregate, params })
    }
}

impl AskedDiff {
    pub(crate) fn read(
        state: &crate::State,
        (service, typ): (String, String),
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, RenderError> {
        let Query(query) = Query::<DiffQuery>::try_from_uri(uri)?;
        let params = Params::parse(uri.query().unwrap_or_default());
        let (typ, format) = Format::negotiate(&typ, params.get("format"), headers)?;
        let what = (ServiceName::new(service)?, typ);
        // pprof's own word for what is compared as shares.
        let basis = given(&query.basis).or(given(&query.norm).map(|_| "share"));
        let basis = basis.map_or(Ok(Basis::default()), str::parse);
        let drawn = given(&query.drawn).map_or(Ok(Drawn::default()), str::parse);
        Ok(Self {
            format,
            basis: basis.map_err(RenderError::Parameter)?,
            drawn: drawn.map_err(RenderError::Parameter)?,
            base: AskedSide::read(state, &what, params.side("a"))?,
            subject: AskedSide::read(state, &what, params.side("b"))?,
            params,
        })
    }

    /// Its path, in the one spelling that links have.
    pub(crate) fn path(&self) -> String {
        let Selection { service, typ, .. } = &self.subject.selection;
        format!("/diff/{}/{}", service.encoded(), typ.encoded())
    }

    pub(crate) fn file_name(&self) -> String {
        let Selection { service, typ, .. } = &self.subject.selection;
        format!("{service}-{typ}-diff")
    }
}

/// A difference in the format asked for.
pub(crate) async fn diff(
    State(state): State<crate::State>,
    Path(path): Path<(String, String)>,
    Extension(admitted): Extension<Admitted>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let asked = AskedDiff::read(&state, path, &uri, &headers)?;
    match asked.format {
        Format::Html => pages::diff::page(&state, &asked, &admitted, &headers).await,
        Format::Pprof => pprof(&state, &asked).await,
        Format::Diff | Format::Svg | Format::FlameJson => {
            let sides = sides(&state, &asked).await?;
            let (name, format) = (asked.file_name(), asked.format);
            let work = move || drawn(&sides, &asked);
            let body = tokio::task::spawn_blocking(work).await??;
            let format = if format == Format::Svg { format } else { Format::Diff };
            Ok(answer::view(format, body, &name, None, Caching::Shortly, &headers))
        }
        other => {
            let there = [Format::Html, Format::Diff, Format::Svg, Format::Pprof];
            Err(other.refused("a difference", &there))
        }
    }
}

/// One side as read: its parts, and what each weighs.
pub(crate) struct ReadSide {
    parts: Vec<(Stacks, f64)>,
    column: usize,
    period: Option<f64>,
}

/// Both sides as read.
pub(crate) struct Sides([ReadSide; 2]);

impl Weighs for Sides {
    fn frames(&self) -> usize {
        let parts = self.0.iter().flat_map(|side| &side.parts);
        parts.map(|(stacks, _)| stacks.frames()).sum()
    }
}

async fn sides(state: &crate::State, asked: &AskedDiff) -> Result<Arc<Sides>, RenderError> {
    let now = jiff::Timestamp::now().into();
    let plan = async |side: &AskedSide| {
        within_limits(plan_apart(&state.store, &side.selection, now, BLOCKS).await?)
    };
    let (base, subject) = tokio::try_join!(plan(&asked.base), plan(&asked.subject))?;
    let pins = [base.pin(asked.base.aggregate), subject.pin(asked.subject.aggregate)];
    let key = format!("{}/{}?{}#{}", pins[0], pins[1], asked.params.question(), asked.basis.name());
    if let Some(sides) = state.kept_sides.get(&key) {
        return Ok(sides);
    }
    let read = async |side: &AskedSide, plan: &Plan| {
        let groups = groups(&state.store, plan, MOST_PARTS, &Limits::default()).await?;
        read_side(side, groups, asked.basis)
    };
    let (base, subject) =
        tokio::try_join!(read(&asked.base, &base), read(&asked.subject, &subject))?;
    let unit = |side: &ReadSide| side.parts[0].0.measure(side.column).unit;
    if unit(&base) != unit(&subject) {
        let said = format!("one counts {}, the other {}", unit(&base), unit(&subject));
        return Err(RenderError::Unlike(said));
    }
    let sides = Arc::new(Sides([base, subject]));
    state.kept_sides.put(key, Arc::clone(&sides));
    Ok(sides)
}

fn read_side(side: &AskedSide, groups: Vec<Group>, basis: Basis) -> Result<ReadSide, RenderError> {
    let snapshots: u64 = groups.iter().map(|group| group.plan.snapshots()).sum();
    let mut read = ReadSide { parts: Vec::new(), column: 0, period: None };
    for Group { plan, profile } in groups {
        let period = (profile.header().period_type.clone(), profile.header().period);
        let shown = side.wish.apply(profile)?;
        read.column = side.wish.shown_column(&shown)?;
        let measure = shown.stacks.measure(read.column);
        read.period = match period {
            (Some(typ), period) if typ == measure && period > 0 => Some(period as f64),
            _ if measure.unit == "count" && measure.typ == "samples" => Some(1.0),
            _ => None,
        };
        let weight = match basis {
            Basis::Share => shown.profile.totals().get(read.column).map_or(0.0, |sum| *sum as f64),
            // A gauge is what it is in each snapshot; everything else adds up.
            Basis::Absolute if plan.gauges().contains(&read.column) => plan.snapshots() as f64,
            Basis::Absolute => plan.snapshots() as f64 / snapshots.max(1) as f64,
            Basis::Invocation => activity(side, &plan)?.invocations as f64,
            Basis::Second => activity(side, &plan)?.active_nanos as f64 / 1e9,
        };
        read.parts.push((shown.stacks, weight));
    }
    let told = read.parts.iter().any(|(_, weight)| *weight > 0.0);
    if !told && matches!(basis, Basis::Invocation | Basis::Second) {
        return Err(untold());
    }
    Ok(read)
}

/// What functions did on a side, under its selector.
fn activity(side: &AskedSide, plan: &Plan) -> Result<Activity, RenderError> {
    plan.activity(side.wish.narrowing.selector()).ok_or_else(untold)
}

fn untold() -> RenderError {
    let said = "how many invocations there were, and for how long, is not known of these \
                snapshots; take basis=share or basis=absolute";
    RenderError::Parameter(said.to_owned())
}

impl ReadSide {
    fn side(&self) -> Side<'_> {
        let parts = self.parts.iter().map(|(stacks, weight)| Part { stacks, weight: *weight });
        Side { parts: parts.collect(), column: self.column, period: self.period }
    }
}

impl Sides {
    fn pair(&self, basis: Basis) -> Pair<'_> {
        Pair::of(self.0.each_ref().map(ReadSide::side), basis)
    }
}

fn drawn(sides: &Sides, asked: &AskedDiff) -> Result<Vec<u8>, RenderError> {
    let pair = sides.pair(asked.basis);
    let query = &asked.subject.query;
    let cut = query.cut()?;
    if asked.format == Format::Svg {
        let Selection { service, typ, .. } = &asked.subject.selection;
        let title = format!("{service} · {typ}");
        let subtitle = Some(format!("by {}", asked.basis.name()));
        let graph = Graph { column: 1, title, subtitle, icicle: query.icicle()?, cut };
        return Ok(diff_svg(&pair, &graph, asked.drawn)?);
    }
    let mut out = Vec::new();
    diff_json(&pair, cut, query.top()?, &mut out)?;
    Ok(out)
}

/// The subject, and the base negated under the label that pprof knows a base by:
/// the file opens as a difference by itself.
async fn pprof(state: &crate::State, asked: &AskedDiff) -> Result<Response, RenderError> {
    let now = jiff::Timestamp::now().into();
    let limits = Limits::default();
    let whole = async |side: &AskedSide| {
        let plan = within_limits(plan(&state.store, &side.selection).await?)?;
        let read = read_planned(&state.store, &side.selection, plan, now, &limits);
        let (plan, profile) = read.await?;
        let profile = plan.show(profile, side.aggregate).map_err(QueryError::Merge)?;
        Ok::<Merged, RenderError>(side.wish.apply(profile)?.profile)
    };
    let (base, subject) = tokio::try_join!(whole(&asked.base), whole(&asked.subject))?;
    let unlike = |error: flambeau_profile::MergeError| RenderError::Unlike(error.to_string());
    let base = match asked.params.get("norm") {
        None => base,
        Some(_) => base.scaled(&base.normalizing(&subject).map_err(unlike)?).map_err(unlike)?,
    };
    let bytes = subject.diff(&base).map_err(unlike)?.encode_gzip(DEFAULT_LEVEL);
    sent(state, bytes.into(), &asked.file_name(), None, Caching::Shortly).await
}
