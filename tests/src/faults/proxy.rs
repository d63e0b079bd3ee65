//! A door in front of a store, for what a seam inside the client cannot do:
//! answers that are torn, late, lost or refused by the service itself.

use std::{io, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flambeau_local::loopback::{self, Served};
use flambeau_store::{Config, Store};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    stores::free_port,
    troubles::{Trouble, Troubles},
    veil::Veil,
};

/// Largest request or answer that passes.
const MAX_BYTES: usize = 32 << 20;
/// What names a DynamoDB operation, before its version's dot.
const TARGET: &str = "x-amz-target";

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Asked {
    /// The DynamoDB operation; S3 requests have none.
    pub(super) fn operation(&self) -> Option<&str> {
        let target = self.parts.headers.get(TARGET)?.to_str().ok()?;
        target.rsplit_once('.').map(|(_, operation)| operation)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Another DynamoDB operation by the same client.
    pub(super) fn instead(&self, operation: &str, body: &Value) -> Self {
        let mut parts = self.parts.clone();
        let target = format!("DynamoDB_20120810.{operation}");
        if let Ok(target) = HeaderValue::from_str(&target) {
            parts.headers.insert(TARGET, target);
        }
        Self { parts, body: body.to_string().into() }
    }
}

/// An answer as it came from the store.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// An answer of the service itself, without the store behind it.
    pub(super) fn refusal(status: u16, content_type: &'static str, body: String) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let typ = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers: HeaderMap::from_iter([typ]), body: body.into() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same answer with another body.
    pub(super) fn with_json(mut self, json: &Value) -> Self {
        self.body = json.to_string().into();
        self.headers.remove(header::CONTENT_LENGTH);
        self
    }

    fn whole(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }

    /// The first half; then the connection breaks.
    fn torn(mut self) -> Response {
        let half = self.body.split_to(self.body.len() / 2);
        let broken = Err(io::Error::other("injected: torn"));
        let body = Body::from_stream(futures::stream::iter([Ok(half), broken]));
        (self.status, self.headers, body).into_response()
    }
}

/// The store behind the door.
#[derive(Clone)]
pub(super) struct Upstream {
    client: Client<HttpConnector, Body>,
    url: String,
}

impl Upstream {
    pub(super) async fn forward(&self, asked: Asked) -> anyhow::Result<Answer> {
        let Asked { mut parts, body } = asked;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.url).parse::<Uri>()?;
        // Bodies are whole here: nobody waits to be told to go on.
        for hop in [header::EXPECT, header::CONNECTION, header::CONTENT_LENGTH] {
            parts.headers.remove(hop);
        }
        let request = Request::from_parts(parts, Body::from(body));
        let (parts, body) = self.client.request(request).await?.into_parts();
        let body = to_bytes(Body::new(body), MAX_BYTES).await?;
        let mut headers = parts.headers;
        headers.remove(header::CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
        Ok(Answer { status: parts.status, headers, body })
    }
}

#[derive(Clone)]
struct Door {
    upstream: Upstream,
    troubles: Arc<Troubles>,
    veil: Option<Arc<Veil>>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Door {
    /// What the store does with a request. A client that hangs up does not end
    /// it, as no client ends what a service has begun.
    async fn pass(&self, asked: Asked) -> anyhow::Result<Answer> {
        self.under_way.send_modify(|requests| *requests += 1);
        let (upstream, veil) = (self.upstream.clone(), self.veil.clone());
        let under_way = Arc::clone(&self.under_way);
        let passing = tokio::spawn(async move {
            let answer = match &veil {
                Some(veil) if asked.operation().is_some() => veil.pass(&upstream, asked).await,
                _ => upstream.forward(asked).await,
            };
            under_way.send_modify(|requests| *requests -= 1);
            answer
        });
        passing.await?
    }

    async fn answer(&self, asked: Asked) -> anyhow::Result<Response> {
        let trouble = self.troubles.draw(&asked);
        Ok(match trouble {
            Trouble::None => self.pass(asked).await?.whole(),
            Trouble::Refused(answer) => answer.whole(),
            Trouble::Partly(asked, rest) => {
                let answer = self.pass(asked).await?;
                let mut json = answer.json();
                json["UnprocessedKeys"] = rest;
                answer.with_json(&json).whole()
            }
            Trouble::Torn => self.pass(asked).await?.torn(),
            Trouble::RefusedAfter(answer) => {
                self.pass(asked).await?;
                answer.whole()
            }
            Trouble::Silent => std::future::pending().await,
            Trouble::SilentAfter => {
                self.pass(asked).await?;
                std::future::pending().await
            }
        })
    }
}

async fn answer(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = match to_bytes(body, MAX_BYTES).await {
        Ok(body) => door.answer(Asked { parts, body }).await,
        Err(error) => Err(error.into()),
    };
    answered.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response())
}

/// Both stores behind doors.
pub struct Wire {
    config: Config,
    troubles: Arc<Troubles>,
    doors: Vec<Served>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Wire {
    /// Opens doors in front of the stores that `config` names.
    ///
    /// # Errors
    /// When it names no endpoints, or no port is free.
    pub async fn open(
        config: &Config,
        troubles: &Arc<Troubles>,
        veil: Option<&Arc<Veil>>,
    ) -> anyhow::Result<Self> {
        let under_way = Arc::new(watch::Sender::new(0));
        let mut doors = Vec::new();
        for url in [&config.s3_endpoint, &config.dynamodb_endpoint] {
            let url = url.clone().context("stores without endpoints")?;
            let client = Client::builder(TokioExecutor::new()).build_http();
            let door = Door {
                upstream: Upstream { client, url },
                troubles: Arc::clone(troubles),
                veil: veil.cloned(),
                under_way: Arc::clone(&under_way),
            };
            let app = Router::new().fallback(answer).with_state(door);
            doors.push(loopback::serve(free_port().await?, app)?);
        }
        let config = Config {
            s3_endpoint: Some(doors[0].url()),
            dynamodb_endpoint: Some(doors[1].url()),
            ..config.clone()
        };
        Ok(Self { config, troubles: Arc::clone(troubles), doors, under_way })
    }

    /// Access through the doors, to the tables of this prefix.
    pub async fn store(&self, table: &str) -> Store {
        let config = Config { table: table.to_owned(), ..self.config.clone() };
        let store = Store::connect(&config).await;
        match self.troubles.patience() {
            Some(patience) => store.with_patience(patience),
            None => store,
        }
    }

    /// Waits until the stores have ended what was asked of them.
    pub async fn quiet(&self) {
        // The sender lives as long as this does.
        let _ = self.under_way.subscribe().wait_for(|requests| *requests == 0).await;
    }

    /// Closes the doors.
    pub async fn close(self) {
        for door in self.doors {
            door.stop().await;
        }
    }
}
