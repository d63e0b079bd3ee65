//! `flambeau verify`: are the answers what the raw snapshots say?

use std::collections::BTreeMap;

use clap::Args;
use flambeau_layout::{ServiceName, Total, UnixMillis};
use flambeau_pipeline::verify::{Scope, Verified, finest_totals, verify};
use flambeau_profile::Limits;
use flambeau_query::{QueryError, Range, Selection, read};
use flambeau_store::Store;

use crate::{connect::Connect, exit::Exit};

/// Level-0 rows live 14 days; a day less, so that none is just going.
const FINEST_KEPT_MILLIS: i64 = 13 * 86_400_000;

/// Times an answer is read while new blocks keep coming.
const MAX_ATTEMPTS: usize = 5;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only this service.
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only windows of this range, as `FROM..UNTIL`; each as render takes them,
    /// and either may be left out.
    #[arg(long, value_name = "FROM..UNTIL")]
    range: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Verify {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let there = self.connect.connect().await?;
        let range = self.range()?.rounded(flambeau_layout::Level::Minute);
        let scope = Scope {
            tenant: there.tenant.clone(),
            service: self.service.clone(),
            range: (range.from, range.until),
        };
        let mut verified = verify(&there.store, &scope).await?;
        if self.range.is_none() {
            answers_agree(&there.store, &scope, &mut verified).await?;
        }
        Ok(tell(&verified))
    }

    fn range(&self) -> anyhow::Result<Range> {
        let now = UnixMillis::from(jiff::Timestamp::now());
        let Some(text) = &self.range else { return Ok(Range::all()) };
        let (from, until) = text.split_once("..").unwrap_or((text.as_str(), ""));
        let given = |part: &str| (!part.is_empty()).then(|| part.to_owned());
        Ok(Range::parse(given(from).as_deref(), given(until).as_deref(), now)?)
    }
}

/// Compares what a reader is answered, through every level and for every
/// service and type, by rows, by profiles, and with the finest blocks.
async fn answers_agree(
    store: &Store,
    scope: &Scope,
    verified: &mut Verified,
) -> anyhow::Result<()> {
    let now = UnixMillis::from(jiff::Timestamp::now());
    for entry in store.services(&scope.tenant).await? {
        if !verified.services.contains(&entry.service) {
            continue;
        }
        // Beyond their life the finest blocks no longer add up to the answer.
        let whole = now.0 - entry.first.0 < FINEST_KEPT_MILLIS;
        for typ in entry.types.keys() {
            let (tenant, service) = (scope.tenant.clone(), entry.service.clone());
            let selection = Selection { tenant, service, typ: typ.clone(), range: Range::all() };
            let told = answer_differs(store, scope, &selection, now, whole).await?;
            verified.differences.extend(told);
        }
    }
    Ok(())
}

/// Compares one answer. Where new blocks came while it was read, it is read
/// again: what moves is no difference.
async fn answer_differs(
    store: &Store,
    scope: &Scope,
    selection: &Selection,
    now: UnixMillis,
    whole: bool,
) -> anyhow::Result<Option<String>> {
    for _ in 0..MAX_ATTEMPTS {
        let before = finest_totals(store, scope, &selection.service).await?;
        let Some((rows, profiles, alike)) = answered(store, selection, now).await? else {
            return Ok(None);
        };
        if before != finest_totals(store, scope, &selection.service).await? {
            continue;
        }
        let finest = before.get(&selection.typ).filter(|_| whole && alike);
        let differs = rows != profiles || finest.is_some_and(|finest| *finest != rows);
        let what = format!("answer for {}/{}", selection.service, selection.typ);
        let told = || format!("{what}: rows {rows:?}, profiles {profiles:?}, finest {finest:?}");
        return Ok(differs.then(told));
    }
    Ok(None)
}

type Measures = BTreeMap<String, Total>;

/// The whole answer's totals by rows and by profiles, and whether nothing was
/// left out of it.
async fn answered(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
) -> anyhow::Result<Option<(Measures, Measures, bool)>> {
    let (plan, merged) = match read(store, selection, now, &Limits::default()).await {
        Ok(answer) => answer,
        Err(QueryError::Nothing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let names = merged.sample_types().iter().map(ToString::to_string);
    let profiles = names.zip(merged.totals().iter().copied().map(Total)).collect();
    Ok(Some((plan.totals().into_iter().collect(), profiles, plan.left_out == 0)))
}

fn tell(verified: &Verified) -> Exit {
    let Verified { services, snapshots, blocks, windows, .. } = verified;
    println!(
        "checked {} services: {snapshots} snapshots, {blocks} blocks, {windows} windows",
        services.len()
    );
    for (count, what) in [
        (verified.queued, "snapshots still queued"),
        (verified.parked, "snapshots parked"),
        (verified.raw_expired, "blocks checked against their rows only: raw expired"),
    ] {
        if count > 0 {
            println!("{count} {what}");
        }
    }
    for difference in &verified.differences {
        println!("difference: {difference}");
    }
    match (verified.differences.len(), snapshots + blocks) {
        (0, 0) => {
            println!("nothing to check");
            Exit::Nothing
        }
        (0, _) => {
            println!("no difference");
            Exit::Ok
        }
        _ => Exit::Differs,
    }
}
