//! The whole of Flambeau on one machine, in one process: embedded S3 and
//! DynamoDB, the merge and index handlers behind the pump, render on HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{Json, Router, routing::get};
use flambeau_layout::{TenantId, environment};
use flambeau_render::access::Access;
use flambeau_store::{Config, SecretPlace, Store};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    dirlock::DirLock,
    dynamo::EmbeddedDynamo,
    loopback::{self, Served},
    pump::{Handlers, Progress, Pump},
    s3::{ACCESS_KEY_ID, EmbeddedS3, Options, SECRET_ACCESS_KEY},
};

/// Where a running server tells its endpoints.
pub const ENDPOINTS_PATH: &str = "/-/endpoints";
/// Where a running server tells how far its pump is.
pub const PROGRESS_PATH: &str = "/-/progress";
/// The index ticks this often, and once at the start.
const TICK_EVERY: Duration = Duration::from_millis(flambeau_index::TICK_MILLIS as u64);
/// Expired items are swept this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where all state lives.
    pub dir: PathBuf,
    /// Where HTTP listens; loopback only. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The bucket's name.
    pub bucket: String,
    /// Prefix of the tables' names.
    pub table: String,
    /// Whose profiles are served.
    pub tenant: TenantId,
    /// Where tokens are kept, if pages are to ask for one.
    pub secret: Option<SecretPlace>,
}

impl ServeOptions {
    /// The defaults, with state in `dir`.
    ///
    /// # Errors
    /// Never: the default tenant is a name.
    pub fn in_dir(dir: impl Into<PathBuf>, listen: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            dir: dir.into(),
            listen,
            bucket: "flambeau".to_owned(),
            table: "flambeau".to_owned(),
            tenant: TenantId::new("default")?,
            secret: None,
        })
    }
}

/// Where everything is, for people and other commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Pages, profiles, graphs.
    pub url: String,
    /// The embedded S3.
    pub s3: String,
    /// The embedded DynamoDB.
    pub dynamodb: String,
    /// The bucket.
    pub bucket: String,
    /// Prefix of the tables.
    pub table: String,
    /// Whose profiles are served.
    pub tenant: TenantId,
}

impl Endpoints {
    /// How to reach the stores behind these endpoints.
    #[must_use]
    pub fn store_config(&self) -> Config {
        Config {
            bucket: self.bucket.clone(),
            table: self.table.clone(),
            s3_endpoint: Some(self.s3.clone()),
            dynamodb_endpoint: Some(self.dynamodb.clone()),
            credentials: Some((ACCESS_KEY_ID.to_owned(), SECRET_ACCESS_KEY.to_owned())),
        }
    }

    /// The environment in which a Lambda function finds them.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3", self.s3.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("AWS_REGION", crate::s3::REGION.to_owned()),
            (environment::BUCKET, self.bucket.clone()),
            (environment::TABLE, self.table.clone()),
            (environment::TENANT, self.tenant.to_string()),
        ]
    }
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    /// Where everything is.
    pub endpoints: Endpoints,
    /// Access to its stores.
    pub store: Store,
    progress: watch::Receiver<Progress>,
    tasks: Vec<JoinHandle<()>>,
    servers: Vec<Served>,
    _lock: DirLock,
}

impl Serving {
    /// Starts everything. Events that were not merged when the last server in
    /// this directory ended are delivered at once.
    ///
    /// # Errors
    /// When the directory is in use or unusable, or an address is taken.
    pub async fn start(options: ServeOptions) -> anyhow::Result<Self> {
        let address = options.listen;
        anyhow::ensure!(
            address.ip().is_loopback(),
            "{address} is not a loopback address; put a proxy that checks who asks before it"
        );
        let lock = DirLock::acquire(&options.dir)?;
        let http =
            TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let s3 = open_s3(&options.dir).await?;
        let dynamo = open_dynamo(&options.dir).await?;
        let s3_server = s3.serve(free_port().await?)?;
        let dynamo_server = dynamo.serve(free_port().await?)?;
        let endpoints = Endpoints {
            url: format!("http://{}", http.local_addr()?),
            s3: s3_server.url(),
            dynamodb: dynamo_server.url(),
            bucket: options.bucket,
            table: options.table,
            tenant: options.tenant,
        };
        let store = Store::connect(&endpoints.store_config()).await;
        store.create().await?;
        let store = store.with_near_objects(s3.near(&endpoints.bucket));
        let pump =
            Pump::new(s3.outbox(), handlers(&store, &endpoints), options.dir.join("dead-letters"));
        let progress = pump.progress();
        let render = render(&store, &endpoints.tenant, options.secret)?;
        let pages = loopback::serve(http, pages(render, &endpoints, progress.clone()))?;
        let schedule = Schedule {
            index: index(&store, &endpoints),
            dead_letters: options.dir.join("dead-letters"),
        };
        let tasks = vec![
            tokio::spawn(pump.run()),
            tokio::spawn(schedule.run()),
            tokio::spawn(sweep(dynamo)),
        ];
        let servers = vec![pages, s3_server, dynamo_server];
        Ok(Self { endpoints, store, progress, tasks, servers, _lock: lock })
    }

    /// How far the pump is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Takes no new requests, ends running ones, stops delivering.
    pub async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn open_s3(dir: &Path) -> anyhow::Result<EmbeddedS3> {
    let dir = dir.join("s3");
    let event_prefixes = vec![flambeau_layout::snapshot::SNAPSHOTS.to_owned()];
    let options = Options { event_prefixes, ..Options::default() };
    Ok(tokio::task::spawn_blocking(move || EmbeddedS3::open(&dir, options)).await??)
}

async fn open_dynamo(dir: &Path) -> anyhow::Result<EmbeddedDynamo> {
    let dir = dir.join("dynamodb");
    Ok(tokio::task::spawn_blocking(move || EmbeddedDynamo::open(&dir)).await??)
}

async fn free_port() -> anyhow::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("listen on a free port")
}

fn handlers(store: &Store, endpoints: &Endpoints) -> Handlers {
    let merge = flambeau_merge::State {
        store: store.clone(),
        tenant: endpoints.tenant.clone(),
        fetches: flambeau_merge::DEFAULT_FETCHES,
    };
    Handlers { merge, index: index(store, endpoints) }
}

fn index(store: &Store, endpoints: &Endpoints) -> flambeau_index::State {
    flambeau_index::State { store: store.clone(), tenant: endpoints.tenant.clone() }
}

/// Render as on AWS: with tokens where a secret is named, with the prices that the
/// environment tells.
fn render(
    store: &Store,
    tenant: &TenantId,
    secret: Option<SecretPlace>,
) -> anyhow::Result<flambeau_render::State> {
    let mut state = flambeau_render::State::new(store.clone(), tenant.clone());
    state.access = Arc::new(secret.map_or(Access::Iam, Access::token));
    state.pricing = flambeau_render::pricing_from_env()?;
    Ok(state)
}

fn pages(
    state: flambeau_render::State,
    endpoints: &Endpoints,
    progress: watch::Receiver<Progress>,
) -> Router {
    let told = endpoints.clone();
    flambeau_render::router(state)
        .route(ENDPOINTS_PATH, get(async move || Json(told)))
        .route(PROGRESS_PATH, get(async move || Json(*progress.borrow())))
}

/// What EventBridge does for a deployed index: it ticks, and hands over dead
/// letters.
struct Schedule {
    index: flambeau_index::State,
    dead_letters: PathBuf,
}

impl Schedule {
    async fn run(self) {
        let mut every = tokio::time::interval(TICK_EVERY);
        loop {
            every.tick().await;
            let now = jiff::Timestamp::now().into();
            match flambeau_index::tick(&self.index, now).await {
                Ok(ticked) => tracing::info!(?ticked, "index ticked"),
                Err(error) => tracing::warn!(%error, "index could not tick"),
            }
            if let Err(error) = self.drain().await {
                tracing::warn!(%error, "dead letters stay where they are");
            }
        }
    }

    /// Parks what the pump gave up, letter by letter: one that cannot be read
    /// keeps none of the others.
    async fn drain(&self) -> anyhow::Result<()> {
        let Ok(mut letters) = tokio::fs::read_dir(&self.dead_letters).await else { return Ok(()) };
        while let Some(letter) = letters.next_entry().await? {
            let path = letter.path();
            if let Err(error) = self.drain_letter(&path).await {
                tracing::warn!(letter = %path.display(), %error, "dead letter stays where it is");
            }
        }
        Ok(())
    }

    /// A letter goes once its snapshot is parked.
    async fn drain_letter(&self, path: &Path) -> anyhow::Result<()> {
        let text = tokio::fs::read(path).await?;
        let letter: serde_json::Value = serde_json::from_slice(&text)?;
        flambeau_index::drain_record(&letter["message"], &self.index).await?;
        Ok(tokio::fs::remove_file(path).await?)
    }
}

async fn sweep(dynamo: EmbeddedDynamo) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        match dynamo.sweep_ttl().await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "expired items swept"),
            Err(error) => tracing::warn!(%error, "expired items could not be swept"),
        }
    }
}
