//! `flambeau ls`: what is there.

use clap::{Args, ValueEnum};
use flambeau_layout::{ParkedKey, ParkedNote};

use crate::{
    connect::{Connect, Connected},
    exit::Exit,
};

/// Largest parked note that is read.
const MAX_NOTE_BYTES: u64 = 64 * 1024;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// What to list.
    what: What,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Services, their types and when they were last seen.
    Services,
    /// Snapshots that were set aside, with the reason.
    Parked,
}

impl Ls {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let connected = self.connect.connect().await?;
        let listed = match self.what {
            What::Services => services(&connected).await?,
            What::Parked => parked(&connected).await?,
        };
        Ok(if listed == 0 { Exit::Nothing } else { Exit::Ok })
    }
}

async fn services(Connected { store, tenant }: &Connected) -> anyhow::Result<usize> {
    let services = store.services(tenant).await?;
    for entry in &services {
        let types: Vec<&str> = entry.types.keys().map(|typ| typ.as_str()).collect();
        println!("{}\t{}\tlast seen {}", entry.service, types.join(","), entry.last);
    }
    Ok(services.len())
}

async fn parked(Connected { store, tenant }: &Connected) -> anyhow::Result<usize> {
    let notes = store.list_all(&ParkedKey::prefix(tenant)).await?;
    for object in &notes {
        let got = store.get(&object.key, MAX_NOTE_BYTES).await?;
        match serde_json::from_slice::<ParkedNote>(&got.bytes) {
            Ok(ParkedNote { key, entry, reason, detail, .. }) => {
                let entry = entry.map(|entry| format!("#{entry}")).unwrap_or_default();
                println!("{reason}\t{key}{entry}\t{detail}");
            }
            Err(error) => println!("unreadable note\t{}\t{error}", object.key),
        }
    }
    Ok(notes.len())
}
