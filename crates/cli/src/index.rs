//! `flambeau index`: make the tables again, check that they tell one story, or
//! erase what somebody wants gone.

use clap::{Args, Subcommand};
use flambeau_layout::{ServiceName, UnixMillis};
use flambeau_pipeline::{
    MergeOptions,
    check::{Checked, check_claims, check_service},
    erase::{Erased, erase_service, erase_tenant},
    merge,
    rebuild::rebuild,
};
use flambeau_profile::Limits;

use crate::{
    connect::{Connect, Connected},
    exit::Exit,
};

/// Objects read at the same time when raw snapshots are merged again.
const FETCHES: usize = 16;

/// Arguments of `index`.
#[derive(Debug, Args)]
pub(crate) struct Index {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write rows, claims and catalogue anew from what stands in the bucket,
    /// and merge raw snapshots that nothing there covers. Pause merge and index
    /// meanwhile.
    Rebuild {
        #[command(flatten)]
        connect: Connect,
    },
    /// Compare rows with objects, rollups with their children, claims with
    /// what committed.
    Check {
        /// Only this service.
        #[arg(long)]
        service: Option<ServiceName>,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete rows, blocks, raw snapshots and parked notes for good. Stop what
    /// writes for it first.
    Erase {
        /// The service to erase.
        #[arg(long, required_unless_present = "everything")]
        service: Option<ServiceName>,
        /// Erase everything the tenant has.
        #[arg(long, conflicts_with = "service")]
        everything: bool,
        /// Do it; without this, only say what would be erased.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        connect: Connect,
    },
}

impl Index {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Rebuild { connect } => {
                let connected = connect.connect().await?;
                // Elsewhere the tables belong to whoever deployed them.
                if connect.url.is_some() {
                    connected.store.create().await?;
                }
                make_again(connected).await
            }
            Verb::Check { service, connect } => compare(connect.connect().await?, service).await,
            Verb::Erase { service, yes, connect, .. } => {
                erase(connect.connect().await?, service, yes).await
            }
        }
    }
}

async fn make_again(Connected { store, tenant }: Connected) -> anyhow::Result<Exit> {
    let now = UnixMillis::from(jiff::Timestamp::now());
    let rebuilt = rebuild(&store, &tenant, now).await?;
    println!(
        "{} marks read: {} rows and {} claims put, {} rows past their days",
        rebuilt.marks, rebuilt.rows, rebuilt.claims, rebuilt.expired
    );
    if !rebuilt.requeue.is_empty() {
        let options = MergeOptions { tenant, now, fetches: FETCHES, limits: Limits::default() };
        let report = merge(&store, &rebuilt.requeue, &options).await;
        println!(
            "{} raw snapshots merged again into {} blocks",
            rebuilt.requeue.len(),
            report.rows.len()
        );
        flambeau_pipeline::catalogue::update(&store, &report.rows).await?;
    }
    Ok(if rebuilt.marks + rebuilt.requeue.len() == 0 { Exit::Nothing } else { Exit::Ok })
}

/// Erases one service, or all of them; without `yes`, says what that would be.
async fn erase(
    Connected { store, tenant }: Connected,
    service: Option<ServiceName>,
    yes: bool,
) -> anyhow::Result<Exit> {
    if !yes {
        let (what, rows) = match &service {
            Some(service) => {
                let rows = store.all_rows(&tenant, service).await?.len();
                (format!("service `{service}`: {rows} rows"), rows)
            }
            None => {
                let services = store.services(&tenant).await?.len();
                (format!("tenant `{tenant}`: {services} services"), services)
            }
        };
        println!("would erase {what}, with all their objects, for good; say --yes to do it");
        return Ok(if rows == 0 { Exit::Nothing } else { Exit::Ok });
    }
    let Erased { rows, objects, overwritten } = match &service {
        Some(service) => erase_service(&store, &tenant, service).await?,
        None => erase_tenant(&store, &tenant).await?,
    };
    println!("erased {rows} rows and {objects} objects; overwrote it in {overwritten} segments");
    Ok(if rows + objects + overwritten == 0 { Exit::Nothing } else { Exit::Ok })
}

async fn compare(
    Connected { store, tenant }: Connected,
    service: Option<ServiceName>,
) -> anyhow::Result<Exit> {
    let services = match &service {
        Some(service) => vec![service.clone()],
        None => store.services(&tenant).await?.into_iter().map(|entry| entry.service).collect(),
    };
    let mut checked = Vec::new();
    for service in &services {
        checked.push(check_service(&store, &tenant, service).await?);
    }
    if service.is_none() {
        checked.push(check_claims(&store, &tenant).await?);
    }
    Ok(tell(services.len(), &checked))
}

fn tell(services: usize, checked: &[Checked]) -> Exit {
    let sum = |count: fn(&Checked) -> usize| checked.iter().map(count).sum::<usize>();
    let (rows, claims) = (sum(|c| c.rows), sum(|c| c.claims));
    println!(
        "checked {services} services: {rows} rows, {} rollups with their children, {claims} claims",
        sum(|c| c.rollups)
    );
    for finding in checked.iter().flat_map(|checked| &checked.findings) {
        println!("difference: {finding}");
    }
    match (sum(|c| c.findings.len()), rows + claims) {
        (0, 0) => Exit::Nothing,
        (0, _) => Exit::Ok,
        _ => Exit::Differs,
    }
}
