//! `flambeau verify`: are the answers what the raw snapshots say?

use clap::Args;
use flambeau_layout::{ServiceName, Total, UnixMillis};
use flambeau_pipeline::verify::{Scope, Verified, verify};
use flambeau_query::{Plan, QueryError, Range, Selection, plan};
use flambeau_store::Store;

use crate::{connect::Connect, exit::Exit};

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

/// Compares what a reader is answered, through every level, with the sum of the
/// finest blocks, for every service and type.
async fn answers_agree(
    store: &Store,
    scope: &Scope,
    verified: &mut Verified,
) -> anyhow::Result<()> {
    for entry in store.services(&scope.tenant).await? {
        if !verified.services.contains(&entry.service) {
            continue;
        }
        for typ in entry.types.keys() {
            let (tenant, service) = (scope.tenant.clone(), entry.service.clone());
            let selection = Selection { tenant, service, typ: typ.clone(), range: Range::all() };
            let answered = match plan(store, &selection).await {
                Ok(plan) => total_of(&plan),
                Err(QueryError::Nothing { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let read = total_of_parts(store, &selection).await?;
            if answered != read {
                let what = format!("answer for {}/{typ}", entry.service);
                let told = format!("{what}: rows say {answered:?}, its profiles {read:?}");
                verified.differences.push(told);
            }
        }
    }
    Ok(())
}

fn total_of(plan: &Plan) -> Vec<Total> {
    plan.totals().into_iter().map(|(_, total)| total).collect()
}

/// Totals by opening every block of the answer.
async fn total_of_parts(store: &Store, selection: &Selection) -> anyhow::Result<Vec<Total>> {
    let plan = plan(store, selection).await?;
    let merged = flambeau_query::fetch(store, &plan, &flambeau_profile::Limits::default()).await?;
    Ok(merged.totals().iter().copied().map(Total).collect())
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
