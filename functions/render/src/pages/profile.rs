//! `/s/{service}/{type}` for people.

use askama::Template;
use axum::response::Response;
use flambeau_flame::{Sort, Top};
use flambeau_layout::{
    Level, ServiceEntry, UnixMillis, Window, name::encode_part, timeline::TIMELINE,
};
use flambeau_query::{Comparison, Facets, Plan, QueryError, Range, plan};
use http::{HeaderMap, StatusCode};

use super::{
    ChartView, Chip, Head, Tab, counted, empty, said,
    selection::{self, FacetView, here},
};
use crate::{
    access::Admitted,
    answer,
    error::RenderError,
    format::Format,
    params::Params,
    profile::{Asked, Pinned, shown, within_limits},
    quantity::quantity,
    timeline::{chart, chart_range, plan_column},
};

/// Blocks that a page lists; the newest.
const MAX_LISTED_BLOCKS: usize = 50;
/// Rows of the table that a page has without script.
const MAX_TABLE_ROWS: usize = 200;
/// Functions that the script gets beside the tree.
const LISTED_FUNCTIONS: usize = 500;
/// How far back a page looks where nobody says: from the last data.
const LOOK_BACK_MILLIS: i64 = 6 * 3_600_000;
/// By how much the catalogue's last sight may lag behind.
const CATALOGUE_LAG_MILLIS: i64 = 11 * 60_000;

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    head: Head,
    service: String,
    typ: String,
    types: Vec<Tab>,
    measures: Vec<Tab>,
    ranges: Vec<Tab>,
    from: String,
    until: String,
    kept_by_range: Vec<(String, String)>,
    selector: String,
    focus: String,
    hide: String,
    kept_by_filter: Vec<(String, String)>,
    chart: ChartView,
    whole_chart: Option<String>,
    summary: String,
    notes: Vec<String>,
    chips: Vec<Chip>,
    facets: Vec<FacetView>,
    comparisons: Vec<Tab>,
    views: Vec<Tab>,
    view: &'static str,
    heat: Heat,
    table: Option<Table>,
    data: String,
    picture: String,
    table_href: String,
    unit: String,
    pin: String,
    share: String,
    formats: Vec<Tab>,
    blocks: Vec<BlockLink>,
}

/// What a heat map may be told apart by.
struct Heat {
    by: Vec<Tab>,
    data: String,
}

struct Table {
    rows: Vec<TableRow>,
    of: usize,
    unit: String,
    sorted_by_cum: bool,
    by_flat: String,
    by_cum: String,
}

struct TableRow {
    name: String,
    package: String,
    flat: String,
    flat_share: String,
    cum: String,
    cum_share: String,
}

struct BlockLink {
    window: String,
    snapshots: u64,
    href: String,
}

/// The page of one profile; where there is none, what to do about it.
pub(crate) async fn page(
    state: &crate::State,
    asked: &Asked,
    admitted: &Admitted,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let entry = state.store.service(&state.tenant, &asked.selection.service).await?;
    let mut selection = asked.selection.clone();
    let mut params = asked.params.without(&["format"]);
    if let Some(entry) = entry.as_ref().filter(|_| !asked.query.has_range()) {
        // Pages open on the last data.
        selection.range = last_of(entry);
        params.set("from", &selection.range.from.to_string());
        params.set("until", &selection.range.until.to_string());
    }
    let plan = match plan(&state.store, &selection).await {
        Ok(plan) => within_limits(plan)?,
        Err(QueryError::Nothing { .. }) => {
            return empty::page(state, asked, entry.as_ref(), admitted, headers).await;
        }
        Err(error) => return Err(error.into()),
    };
    let made = Making { state, asked, admitted, params, plan, entry };
    let page = made.page().await?;
    Ok(answer::html(page.render()?, StatusCode::OK, headers))
}

fn last_of(entry: &ServiceEntry) -> Range {
    let until = entry.last.plus_millis(CATALOGUE_LAG_MILLIS);
    let now = Window::of(Level::Minute, jiff::Timestamp::now().into()).end();
    Range { from: entry.last.plus_millis(-LOOK_BACK_MILLIS), until: until.min(now) }
}

/// A page being made.
struct Making<'a> {
    state: &'a crate::State,
    asked: &'a Asked,
    admitted: &'a Admitted,
    params: Params,
    plan: Plan,
    entry: Option<ServiceEntry>,
}

impl Making<'_> {
    async fn page(self) -> Result<ProfilePage, RenderError> {
        let Self { asked, params, plan, .. } = &self;
        let (query, aggregate) = (&asked.query, asked.aggregate);
        let column = plan_column(plan, asked)?;
        let (measure, unit) = plan.sample_types().get(column).cloned().unwrap_or_default();
        let selector = asked.wish.narrowing.selector();
        let facets = plan.facets();
        let pinned = Pinned::of(self.state, asked, plan).await?;
        let view = match params.get("view") {
            Some("heatmap") => "heatmap",
            Some("table") => "table",
            _ => "flame",
        };
        let table = if view == "table" { Some(self.table(&pinned).await?) } else { None };
        let mut notes: Vec<String> =
            pinned.said().map(|said| format!("This link: {said}.")).into_iter().collect();
        notes.extend(selection::notes(plan, plan.divides(aggregate), &facets));
        let (chart, whole_chart) = self.chart(column).await?;
        let of = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let shown = params.with("st", &measure);
        let data = shown.with("top", &LISTED_FUNCTIONS.to_string());
        Ok(ProfilePage {
            head: Head::of(
                format!("{} · {}", asked.selection.service, asked.selection.typ),
                Some(self.admitted),
            ),
            service: asked.selection.service.to_string(),
            typ: asked.selection.typ.to_string(),
            types: self.types(),
            measures: self.measures(&measure),
            ranges: selection::ranges(query, params),
            from: of("from"),
            until: of("until"),
            kept_by_range: selection::kept(
                params,
                &["from", "until", "seconds", "tfrom", "tuntil"],
            ),
            selector: of("q"),
            focus: [of("f"), of("focus")].concat(),
            hide: [of("h"), of("hide")].concat(),
            kept_by_filter: selection::kept(params, &["q", "f", "focus", "h", "hide"]),
            chart,
            whole_chart,
            summary: self.summary(column, &unit),
            notes,
            chips: selection::chips(selector, params),
            comparisons: self.comparisons(&facets),
            views: self.views(view),
            view,
            heat: self.heat(&facets).await,
            facets: selection::facets(&facets, selector, params),
            table,
            data: self.data(&data, Format::FlameJson).await,
            picture: self.data(&shown, Format::Svg).await,
            table_href: here(&params.with("view", "table")),
            unit: if query.pricing(self.state.pricing)?.is_some() {
                "picodollars".to_owned()
            } else {
                unit
            },
            pin: plan.pin(aggregate).to_string(),
            share: self.share(),
            formats: self.formats().await,
            blocks: self.blocks(),
        })
    }

    /// A link to the same answer in another format; for a guest it is signed as the
    /// guest's own was.
    async fn data(&self, params: &Params, format: Format) -> String {
        let params = params
            .with("format", format.name())
            .without(&["view", "around", "side", "tfrom", "tuntil", "exp", "sig"]);
        let (access, tenant) = (&self.state.access, &self.state.tenant);
        let query = params.to_string();
        let path = self.asked.path();
        let query = access.extend(tenant, self.admitted, &path, &query).await;
        format!("{path}?{query}")
    }

    fn types(&self) -> Vec<Tab> {
        let service = self.asked.selection.service.encoded();
        let kept = self.params.without(&[
            "st", "si", "unit", "root", "by", "view", "exp", "sig", "pin", "tfrom", "tuntil",
        ]);
        let types = self.entry.iter().flat_map(|entry| entry.types.keys());
        let tab = |typ: &flambeau_layout::ProfileType| Tab {
            name: typ.to_string(),
            href: format!("/s/{service}/{}{}", typ.encoded(), kept.href()),
            current: *typ == self.asked.selection.typ,
        };
        types.map(tab).collect()
    }

    /// Sample types, and dollars where they are time.
    fn measures(&self, measure: &str) -> Vec<Tab> {
        let dollars = self.params.get("unit") == Some("dollars");
        let plain = self.params.without(&["st", "si", "unit", "root"]);
        let types = self.plan.sample_types();
        let mut tabs: Vec<Tab> = types
            .iter()
            .map(|(typ, _)| Tab {
                name: typ.clone(),
                href: here(&plain.with("st", typ)),
                current: !dollars && typ == measure,
            })
            .collect();
        let time = types.iter().find(|(typ, unit)| typ == measure && is_time(unit));
        let time = time.or_else(|| types.iter().rev().find(|(_, unit)| is_time(unit)));
        if let Some((typ, _)) = time {
            let href = here(&plain.with("st", typ).with("unit", "dollars"));
            tabs.push(Tab { name: "dollars".to_owned(), href, current: dollars });
        }
        tabs
    }

    /// The chart of the outer range, with the lens that is looked through.
    async fn chart(&self, column: usize) -> Result<(ChartView, Option<String>), RenderError> {
        let Self { params, plan, asked, .. } = self;
        let title =
            format!("{} over time", plan.sample_types().get(column).map_or("", |(typ, _)| typ));
        let outer = match (params.get("tfrom"), params.get("tuntil")) {
            (None, None) => None,
            (from, until) => {
                let now = UnixMillis::from(jiff::Timestamp::now());
                let range = Range::parse(from, until, now)?;
                let selection = flambeau_query::Selection { range, ..asked.selection.clone() };
                match flambeau_query::plan(&self.state.store, &selection).await {
                    Err(QueryError::Nothing { .. }) => None,
                    plan => Some(plan?),
                }
            }
        };
        let Some(outer) = outer else {
            let chart = chart(plan, chart_range(plan), column, asked.aggregate);
            return Ok((ChartView::of(chart, None, title), None));
        };
        let chart = chart(&outer, chart_range(&outer), column, asked.aggregate);
        let lens = Some(plan.range);
        let of = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let whole = params.without(&["tfrom", "tuntil"]);
        let whole = here(&whole.with("from", &of("tfrom")).with("until", &of("tuntil")));
        Ok((ChartView::of(chart, lens, title), Some(whole)))
    }

    fn summary(&self, column: usize, unit: &str) -> String {
        let totals = self.plan.shown_totals(self.asked.aggregate);
        let total = totals.get(column).map_or(0.0, |(_, total)| total.0 as f64);
        let span = self.plan.span();
        let mut said_of = format!(
            "{} in {}, {} to {}",
            quantity(total, unit),
            counted(self.plan.snapshots(), "snapshot"),
            said(span.from),
            said(span.until)
        );
        let activity = self.plan.activity(None).unwrap_or_default();
        if activity.invocations > 0 {
            let active = quantity(activity.active_nanos as f64, "nanoseconds");
            said_of.push_str(&format!(
                ", {}, {active} running",
                counted(activity.invocations, "invocation")
            ));
        }
        said_of
    }

    fn comparisons(&self, facets: &Facets) -> Vec<Tab> {
        let Self { asked, params, .. } = self;
        let (service, typ) = (asked.selection.service.encoded(), asked.selection.typ.encoded());
        let plain =
            params.without(&["q", "root", "view", "by", "exp", "sig", "pin", "tfrom", "tuntil"]);
        let base = asked.wish.narrowing.selector().cloned().unwrap_or_default();
        let link = |Comparison { label, base: before, subject }: Comparison| {
            let of = |value: &str| {
                let condition = flambeau_profile::Condition::Equal(value.to_owned());
                base.clone().without(label).with(label, condition).to_string()
            };
            let query = plain.with("a.q", &of(&before)).with("b.q", &of(&subject));
            let name = match label {
                "init" => "cold starts against warm".to_owned(),
                label => format!("{label} {subject} against {before}"),
            };
            Tab::to(name, format!("/diff/{service}/{typ}{}", query.href()))
        };
        let mut tabs: Vec<Tab> = facets.comparisons().into_iter().map(link).collect();
        let free = params.without(&["root", "view", "by", "exp", "sig", "pin", "tfrom", "tuntil"]);
        tabs.push(Tab::to(
            "this with something else",
            format!("/diff/{service}/{typ}{}", before(&free, &self.plan)),
        ));
        tabs
    }

    fn views(&self, view: &str) -> Vec<Tab> {
        let plain = self.params.without(&["view", "by"]);
        let tab = |(name, word): (&str, &str)| Tab {
            name: name.to_owned(),
            href: here(&plain.with("view", word)),
            current: view == if word.is_empty() { "flame" } else { word },
        };
        let mut tabs: Vec<Tab> =
            [("Flame graph", ""), ("Heat map", "heatmap"), ("Table", "table")].map(tab).into();
        let typ = encode_part(self.asked.selection.typ.as_str());
        tabs.push(Tab::to("Traces", format!("{typ}/traces")));
        tabs
    }

    async fn heat(&self, facets: &Facets) -> Heat {
        let by = self.params.get("by").unwrap_or("instance").to_owned();
        let labels = facets.labels.iter().filter(|(_, values)| values.len() > 1);
        let mut words: Vec<(String, String)> = vec![("environment".into(), "instance".into())];
        words.extend(labels.map(|(label, _)| (label.clone(), label.clone())));
        let aligned = [
            ("since the invocation began, by package", "package"),
            ("since it began, by init", "invocation:init"),
        ];
        if self.asked.selection.typ.as_str() == TIMELINE {
            words.extend(aligned.map(|(name, word)| (name.to_owned(), word.to_owned())));
        }
        let tab = |(name, word): (String, String)| Tab {
            name,
            href: here(&self.params.with("view", "heatmap").with("by", &word)),
            current: word == by,
        };
        let data = self.data(&self.params.with("by", &by), Format::HeatMap).await;
        Heat { by: words.into_iter().map(tab).collect(), data }
    }

    async fn table(&self, pinned: &Pinned) -> Result<Table, RenderError> {
        let (_, shown) = shown(self.state, self.asked, self.plan.clone(), pinned).await?;
        let column = self.asked.wish.shown_column(&shown)?;
        let unit = shown.stacks.measure(column).unit;
        let sort = self.asked.query.sort()?;
        let top = Top::of(&shown.stacks, column, sort);
        let total = top.total as f64;
        let share = |value: i128| match total {
            0.0 => String::new(),
            total => format!("{:.1} %", value as f64 / total * 100.0),
        };
        let row = |row: &flambeau_flame::Row<'_>| TableRow {
            name: row.symbol.name.clone(),
            package: row.symbol.package.clone(),
            flat: quantity(row.flat as f64, &unit),
            flat_share: share(row.flat),
            cum: quantity(row.cum as f64, &unit),
            cum_share: share(row.cum),
        };
        let rows = top.rows.iter().take(MAX_TABLE_ROWS).map(row).collect();
        let sorted = |word: &str| here(&self.params.with("view", "table").with("sort", word));
        Ok(Table {
            rows,
            of: top.rows.len(),
            unit: shown.stacks.measure(column).to_string(),
            sorted_by_cum: sort == Sort::Cum,
            by_flat: sorted("flat"),
            by_cum: sorted("cum"),
        })
    }

    /// A link that says the same tomorrow: times as they are now, and the pin of
    /// what is there.
    fn share(&self) -> String {
        let Range { from, until } = self.plan.range;
        let params = self.params.without(&["seconds", "exp", "sig"]);
        let params = params.with("from", &from.to_string()).with("until", &until.to_string());
        let pin = self.plan.pin(self.asked.aggregate);
        params.with("pin", &pin.to_string()).href()
    }

    async fn formats(&self) -> Vec<Tab> {
        let formats = [
            Format::Pprof,
            Format::Svg,
            Format::Folded,
            Format::Csv,
            Format::Speedscope,
            Format::Chrome,
            Format::Firefox,
            Format::Flamebearer,
            Format::FlameJson,
            Format::TopJson,
            Format::Timeline,
        ];
        let mut tabs = Vec::new();
        for format in formats {
            tabs.push(Tab::to(format.name(), self.data(&self.params, format).await));
        }
        tabs
    }

    fn blocks(&self) -> Vec<BlockLink> {
        let typ = encode_part(self.asked.selection.typ.as_str());
        let link = |row: &flambeau_layout::BlockRow| BlockLink {
            window: format!("{} ({})", said(row.window.start), level(row.window.level)),
            snapshots: row.snapshots,
            href: format!("{typ}/blocks/{}", row.block),
        };
        self.plan.blocks.iter().rev().take(MAX_LISTED_BLOCKS).map(link).collect()
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Minute => "minute",
        Level::Hour => "hour",
        Level::Day => "day",
        Level::Month => "32 days",
    }
}

fn is_time(unit: &str) -> bool {
    flambeau_profile::nanos_in(unit).is_some()
}

/// A comparison with the time just before: the range as the subject, one as long
/// before it as the base.
fn before(params: &Params, plan: &Plan) -> String {
    let Range { from, until } = crate::timeline::chart_range(plan);
    let earlier = from.plus_millis(from.0 - until.0);
    let plain = params.without(&["from", "until", "seconds"]);
    let plain = plain.with("a.from", &earlier.to_string()).with("a.until", &from.to_string());
    plain.with("b.from", &from.to_string()).with("b.until", &until.to_string()).href()
}
