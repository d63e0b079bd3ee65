//! `flambeau steer`: how often and how many environments of a service write
//! snapshots, changed while they run.

use clap::Args;
use flambeau_layout::{FORMAT_VERSION, ServiceName, Steering, SteeringKey};
use flambeau_store::ErrorKind;

use crate::{
    connect::{Connect, Connected},
    exit::Exit,
};

/// Arguments of `steer`.
#[derive(Debug, Args)]
pub(crate) struct Steer {
    /// The service.
    #[arg(long)]
    service: ServiceName,
    /// Least seconds between two snapshots of an environment.
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,
    /// Sample one of so many environments; each counts that many times.
    #[arg(long, value_name = "N")]
    one_in: Option<u32>,
    /// Forget the steering: each function's own settings hold again.
    #[arg(long, conflicts_with_all = ["interval", "one_in"])]
    reset: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Steer {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let Connected { store, tenant } = self.connect.connect().await?;
        let key = SteeringKey { tenant, service: self.service.clone() }.to_string();
        if self.reset {
            store.delete(&key).await?;
            println!("`{}` is not steered any more", self.service);
            return Ok(Exit::Ok);
        }
        let Self { interval: interval_secs, one_in, .. } = self;
        if interval_secs.is_none() && one_in.is_none() {
            return show(&store, &key).await;
        }
        let steering = Steering { v: FORMAT_VERSION, interval_secs, one_in }.checked()?;
        let json = serde_json::to_vec(&steering)?;
        store.put_again(&key, json.into(), "application/json").await?;
        println!("{key}: {}", serde_json::to_string(&steering)?);
        println!("functions with FLAMBEAU_STEERING=on follow it from their next snapshot on");
        Ok(Exit::Ok)
    }
}

async fn show(store: &flambeau_store::Store, key: &str) -> anyhow::Result<Exit> {
    match store.get(key, flambeau_layout::steering::MAX_STEERING_BYTES).await {
        Ok(got) => {
            println!("{key}: {}", String::from_utf8_lossy(&got.bytes));
            Steering::read(&got.bytes)?;
            Ok(Exit::Ok)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("no steering at {key}");
            Ok(Exit::Nothing)
        }
        Err(error) => Err(error.into()),
    }
}
