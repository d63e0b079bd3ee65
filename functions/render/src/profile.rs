//! `/s/{service}/{type}`: one profile, many representations.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Query, State},
    response::Response,
};
use bytes::Bytes;
use flambeau_layout::{BlockId, ProfileType, ServiceName};
use flambeau_profile::{DEFAULT_LEVEL, Limits, Merged};
use flambeau_query::{
    Aggregate, Pin, Plan, QueryError, Range, Selection, cached_or_fetch, keep, kept, plan, read,
    read_planned,
};
use http::{HeaderMap, Uri};

use crate::{
    access::Admitted,
    answer::{self, Caching},
    error::RenderError,
    format::Format,
    heat, pages,
    params::Params,
    request::ProfileQuery,
    shown::{Shown, Wish},
    timeline,
    view::{Titles, view},
};

/// Most compressed bytes that one answer reads: merged they are several times as
/// many, and a function has to hold them.
pub(crate) const MAX_PLAN_BYTES: u64 = 256 << 20;
/// Pprofs longer than this are not sent through the function, which is slow beyond
/// its first 6 MB, but fetched from the bucket by a link.
pub(crate) const REDIRECT_BYTES: usize = 4 << 20;

/// Everything that is asked of a profile.
pub(crate) struct Asked {
    pub(crate) selection: Selection,
    pub(crate) format: Format,
    pub(crate) query: ProfileQuery,
    pub(crate) params: Params,
    pub(crate) wish: Wish,
    pub(crate) aggregate: Aggregate,
    pub(crate) pin: Option<Pin>,
}

impl Asked {
    pub(crate) fn read(
        state: &crate::State,
        (service, typ): (String, String),
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, RenderError> {
        let Query(query) = Query::<ProfileQuery>::try_from_uri(uri)?;
        let (typ, format) = Format::negotiate(&typ, query.format.as_deref(), headers)?;
        let service = ServiceName::new(service)?;
        let selection =
            Selection { tenant: state.tenant.clone(), service, typ, range: query.range()? };
        query.check_norm()?;
        let wish = Wish::of(&query, state.pricing)?;
        let (aggregate, pin) = (query.aggregate()?, query.pin()?);
        let params = Params::parse(uri.query().unwrap_or_default());
        Ok(Self { selection, format, query, params, wish, aggregate, pin })
    }

    /// Its path, in the one spelling that links have.
    pub(crate) fn path(&self) -> String {
        let Selection { service, typ, .. } = &self.selection;
        format!("/s/{}/{}", service.encoded(), typ.encoded())
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}", self.selection.service, self.selection.typ)
    }

    /// What names the part of an answer that is looked at.
    fn kept_key(&self, pin: Pin) -> String {
        let range = ["from", "until", "seconds", "pin", "tfrom", "tuntil"];
        let mut params = self.params.question().without(&range);
        // Who is in the middle is shown only, but it is another profile.
        if let Some((function, way)) = &self.wish.middle {
            params.set("around", function);
            params.set("side", &format!("{way:?}"));
        }
        format!("{pin}?{params}")
    }
}

/// The merged profile of a range.
pub(crate) async fn merged(
    State(state): State<crate::State>,
    Path(path): Path<(String, String)>,
    Extension(admitted): Extension<Admitted>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let asked = Asked::read(&state, path, &uri, &headers)?;
    match asked.format {
        Format::Html => {
            return pages::profile::page(&state, &asked, &admitted, &headers).await;
        }
        Format::Timeline | Format::Sparkline => {
            return timeline::answer(&state, &asked, &headers).await;
        }
        Format::HeatMap => return heat::answer(&state, &asked, &headers).await,
        Format::Diff => {
            let there = [Format::Pprof, Format::Html, Format::Svg, Format::FlameJson];
            return Err(asked.format.refused("one selection: …/diff/ has it", &there));
        }
        _ => {}
    }
    let plan = plan(&state.store, &asked.selection).await?;
    let plan = within_limits(plan)?;
    let pinned = Pinned::of(&state, &asked, &plan).await?;
    if asked.format == Format::Pprof && asked.wish.is_none() {
        let note = answered(&plan, asked.aggregate, &[], &pinned);
        let (bytes, key) = match pinned.bytes() {
            Some(bytes) => (bytes, None),
            None => whole(&state, &asked, &plan, pinned.holds()).await?,
        };
        return pprof(&state, &asked, bytes, key, note, &pinned).await;
    }
    let (plan, shown) = shown(&state, &asked, plan, &pinned).await?;
    let mut note = answered(&plan, asked.aggregate, &shown.unmatched, &pinned);
    if shown.unpriced != 0 {
        note.push_str("; samples without a label memory have no price: memory=MB gives them one");
    }
    let caching = pinned.caching();
    let titles = titles(&asked.selection, &plan);
    let billed = billed(&state, &asked).await?;
    let (file_name, format) = (asked.file_name(), asked.format);
    let body = tokio::task::spawn_blocking(move || {
        view(&shown, &asked, &titles, billed.map(|value| (value, BILLED)))
    })
    .await??;
    if format == Format::Pprof {
        return sent(&state, body.into(), &file_name, Some(note), caching).await;
    }
    Ok(answer::view(format, body, &file_name, Some(note), caching, &headers))
}

/// Refuses what is more than a function holds.
pub(crate) fn within_limits(plan: Plan) -> Result<Plan, RenderError> {
    let (bytes, most) = (plan.bytes(), MAX_PLAN_BYTES);
    if bytes <= most {
        return Ok(plan);
    }
    let (blocks, mega) = (plan.blocks.len(), |bytes: u64| bytes >> 20);
    Err(RenderError::TooLarge(format!(
        "the answer is made of {blocks} blocks of {} MB, more than the {} MB that are read at once; \
         narrow the range by from and until",
        mega(bytes),
        mega(most)
    )))
}

/// How an answer stands to the pin that was asked for.
pub(crate) enum Pinned {
    /// None was asked for.
    No,
    /// It is still that answer.
    Holds,
    /// More has come since; the answer as it was is kept still.
    Kept(Bytes),
    /// More has come since.
    Changed,
}

impl Pinned {
    pub(crate) async fn of(
        state: &crate::State,
        asked: &Asked,
        plan: &Plan,
    ) -> Result<Self, RenderError> {
        match asked.pin {
            None => Ok(Self::No),
            Some(pin) if plan.pin(asked.aggregate) == pin => Ok(Self::Holds),
            Some(pin) => {
                let bytes = kept(&state.store, &state.tenant, pin).await?;
                Ok(bytes.map_or(Self::Changed, Self::Kept))
            }
        }
    }

    fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Kept(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    fn holds(&self) -> bool {
        matches!(self, Self::Holds)
    }

    pub(crate) fn caching(&self) -> Caching {
        match self {
            Self::Holds | Self::Kept(_) => Caching::Forever,
            Self::No => Caching::Shortly,
            Self::Changed => Caching::Never,
        }
    }

    /// What is to be said of it.
    pub(crate) fn said(&self) -> Option<&'static str> {
        match self {
            Self::No | Self::Holds => None,
            Self::Kept(_) => Some("as it was when it was shared; more has come since"),
            Self::Changed => Some("more has come since it was shared"),
        }
    }
}

/// The part of the profile that is asked for, from memory where it is there.
pub(crate) async fn shown(
    state: &crate::State,
    asked: &Asked,
    plan: Plan,
    pinned: &Pinned,
) -> Result<(Plan, Arc<Shown>), RenderError> {
    let pin = match pinned {
        Pinned::Kept(_) => asked.pin.unwrap_or(plan.pin(asked.aggregate)),
        _ => plan.pin(asked.aggregate),
    };
    let key = asked.kept_key(pin);
    if let Some(shown) = state.kept.get(&key) {
        return Ok((plan, shown));
    }
    let limits = Limits::default();
    let (plan, profile) = match pinned.bytes() {
        Some(bytes) => (plan, Merged::from_bytes(&bytes, &limits).map_err(QueryError::Merge)?),
        None => {
            let now = jiff::Timestamp::now().into();
            let read = read_planned(&state.store, &asked.selection, plan, now, &limits);
            let (plan, profile) = read.await?;
            let profile = plan.show(profile, asked.aggregate).map_err(QueryError::Merge)?;
            (plan, profile)
        }
    };
    let shown = Arc::new(asked.wish.apply(profile)?);
    state.kept.put(key, Arc::clone(&shown));
    Ok((plan, shown))
}

/// The type that holds every billed nanosecond.
const BILLED: &str = "billed";

/// What the invocations themselves cost, in picodollars, where dollars are asked for
/// of another type and the functions recorded it: what of that was on the CPU is a
/// part of it.
async fn billed(state: &crate::State, asked: &Asked) -> Result<Option<u64>, RenderError> {
    let Some(pricing) = asked.wish.pricing else { return Ok(None) };
    if asked.selection.typ.as_str() == BILLED || asked.format != Format::FlameJson {
        return Ok(None);
    }
    let selection = Selection { typ: BILLED.parse()?, ..asked.selection.clone() };
    let plan = match plan(&state.store, &selection).await {
        Err(QueryError::Nothing { .. }) => return Ok(None),
        plan => plan?,
    };
    let key = format!("{}?{}", plan.pin(asked.aggregate), asked.params.question());
    let shown = match state.kept.get(&key) {
        Some(shown) => shown,
        None => {
            let (now, limits) = (jiff::Timestamp::now().into(), Limits::default());
            let read = read_planned(&state.store, &selection, plan, now, &limits);
            let (_, profile) = read.await?;
            let labels = asked.query.label_narrowing()?;
            let wish = Wish { narrowing: labels, pricing: Some(pricing), ..Wish::default() };
            let shown = Arc::new(wish.apply(profile)?);
            state.kept.put(key, Arc::clone(&shown));
            shown
        }
    };
    Ok(shown.profile.totals().first().and_then(|total| u64::try_from(*total).ok()))
}

/// The whole merged pprof, and where it is kept; an object that has gone meanwhile
/// makes a new plan.
async fn whole(
    state: &crate::State,
    asked: &Asked,
    plan: &Plan,
    anyway: bool,
) -> Result<(Bytes, Option<String>), RenderError> {
    let (limits, aggregate) = (Limits::default(), asked.aggregate);
    match cached_or_fetch(&state.store, plan, aggregate, &limits, anyway).await {
        Err(QueryError::Store(error)) if error.may_be_missing() => {
            let now = jiff::Timestamp::now().into();
            let (plan, profile) = read(&state.store, &asked.selection, now, &limits).await?;
            let profile = plan.show(profile, aggregate).map_err(QueryError::Merge)?;
            Ok((profile.encode_gzip(DEFAULT_LEVEL).into(), None))
        }
        answered => answered.map(|answer| (answer.bytes, answer.key)).map_err(Into::into),
    }
}

async fn pprof(
    state: &crate::State,
    asked: &Asked,
    bytes: Bytes,
    key: Option<String>,
    note: String,
    pinned: &Pinned,
) -> Result<Response, RenderError> {
    match key {
        Some(key) if bytes.len() > REDIRECT_BYTES => {
            answer::elsewhere(state, &key, &asked.file_name()).await
        }
        _ => sent(state, bytes, &asked.file_name(), Some(note), pinned.caching()).await,
    }
}

/// Sends a profile. A large one is kept, and where it is is said; it is sent after all
/// where it cannot be kept.
pub(crate) async fn sent(
    state: &crate::State,
    bytes: Bytes,
    file_name: &str,
    note: Option<String>,
    caching: Caching,
) -> Result<Response, RenderError> {
    if bytes.len() > REDIRECT_BYTES {
        match keep(&state.store, &state.tenant, &bytes).await {
            Ok(key) => return answer::elsewhere(state, &key, file_name).await,
            Err(error) => tracing::warn!(%error, "a large answer could not be kept; sending it"),
        }
    }
    Ok(answer::profile(Format::Pprof, bytes, file_name, note, caching))
}

/// The merged object of one block: itself where it is one, a part of a segment
/// otherwise.
pub(crate) async fn block(
    State(state): State<crate::State>,
    Path((service, typ, id)): Path<(String, String, String)>,
) -> Result<Response, RenderError> {
    let id: BlockId = id.parse()?;
    let selection = Selection {
        tenant: state.tenant.clone(),
        service: ServiceName::new(service)?,
        typ: ProfileType::new(typ)?,
        range: Range::all(),
    };
    let part = flambeau_query::block(&state.store, &selection, &id).await?;
    let file_name = format!("{}-{id}", selection.service);
    if part.at.key.starts_with(flambeau_layout::object::BLOCKS) {
        return answer::elsewhere(&state, &part.at.key, &file_name).await;
    }
    let bytes = state.store.get_range(&part.at).await?;
    sent(&state, bytes, &file_name, None, Caching::Forever).await
}

pub(crate) fn titles(selection: &Selection, plan: &Plan) -> Titles {
    let title = format!("{} · {}", selection.service, selection.typ);
    Titles { title, subtitle: span(plan) }
}

/// What the answer covers, in words.
pub(crate) fn span(plan: &Plan) -> String {
    let span = plan.span();
    format!("{} snapshots, {} to {}", plan.snapshots(), span.from, span.until)
}

fn answered(plan: &Plan, aggregate: Aggregate, unmatched: &[&str], pinned: &Pinned) -> String {
    let mut said = vec![format!("{} blocks", plan.blocks.len()), span(plan)];
    let everything = plan.asked == Range::all();
    if !everything && plan.asked != plan.range {
        said.push(format!("rounded to {}..{}", plan.range.from, plan.range.until));
    }
    if plan.left_out > 0 {
        said.push(format!("{} snapshots of another shape left out", plan.left_out));
    }
    if plan.undifferenced() > 0 {
        let snapshots = plan.undifferenced();
        said.push(format!("cumulative columns of {snapshots} snapshots left out"));
    }
    if plan.divides(aggregate) {
        said.push("gauges are means per snapshot".to_owned());
    }
    said.extend(pinned.said().map(str::to_owned));
    said.extend(unmatched.iter().map(|option| format!("{option} matched nothing")));
    said.join("; ")
}
