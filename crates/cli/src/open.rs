//! `flambeau open`: a loopback address whose requests arrive signed at a
//! Function URL, since neither browsers nor `go tool pprof` can sign.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::Context;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use clap::Args;
use flambeau_local::loopback;
use http::{
    HeaderMap, HeaderName, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;

use crate::{exit::Exit, serve::interrupted};

/// The service that Function URLs are signed for.
const SIGNED_SERVICE: &str = "lambda";
/// Longest request body that is passed on: symbol lists of `go tool pprof`.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Request headers that are passed on; what else a client sends is its own.
const PASSED: [HeaderName; 4] =
    [header::ACCEPT, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::USER_AGENT];
/// Response headers that belong to one connection only.
const HOP_BY_HOP: [HeaderName; 3] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];

/// Arguments of `open`.
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// The Function URL of render.
    #[arg(long, value_name = "FUNCTION_URL")]
    url: Uri,
    /// The region it is in; else read from the URL, else from AWS's configuration.
    #[arg(long)]
    region: Option<String>,
    /// Connect to this address instead of the URL's host, which is still what
    /// is asked and signed for: a private endpoint, a tunnel, an emulator.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<Authority>,
    /// Where to listen: a loopback address; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:4041")]
    listen: SocketAddr,
}

impl Open {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        anyhow::ensure!(self.listen.ip().is_loopback(), "--listen takes loopback addresses only");
        let far = self.far().await?;
        // Credentials that cannot be had are told now, not at the first click.
        far.credentials().await?;
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("listen on {}", self.listen))?;
        let app = Router::new().fallback(pass_on).with_state(Arc::new(far));
        let served = loopback::serve(listener, app)?;
        println!("open {} for {}", served.url(), self.url);
        println!("go tool pprof {}/s/SERVICE/cpu", served.url());
        interrupted().await?;
        served.stop().await;
        Ok(Exit::Ok)
    }

    async fn far(&self) -> anyhow::Result<Far> {
        let host = self.url.host().context("--url names no host; write https://…")?;
        let known = self.region.clone().or_else(|| region_of(host));
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(known) = known {
            // Else every place that might know it is asked, the metadata service last.
            loader = loader.region(Region::new(known));
        }
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string);
        let credentials = config.credentials_provider();
        Ok(Far {
            url: self.url.clone(),
            connect: self.connect.clone(),
            region: region.context("no region is known; say --region")?,
            credentials: credentials.context("no AWS credentials are configured")?,
            client: client()?,
        })
    }
}

/// `{id}.lambda-url.{region}.on.aws`.
fn region_of(host: &str) -> Option<String> {
    let mut parts = host.split('.').skip(1);
    (parts.next() == Some("lambda-url")).then(|| parts.next().map(str::to_owned)).flatten()
}

type Https = Client<HttpsConnector<HttpConnector>, Body>;

fn client() -> anyhow::Result<Https> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = builder.with_provider_and_native_roots(provider).context("read TLS roots")?;
    let connector = builder.https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// The Function URL and whom to sign as.
struct Far {
    url: Uri,
    connect: Option<Authority>,
    region: String,
    credentials: SharedCredentialsProvider,
    client: Https,
}

impl Far {
    async fn credentials(&self) -> anyhow::Result<Credentials> {
        let given = self.credentials.provide_credentials().await;
        given.context("no AWS credentials could be had; sign in, or set AWS_PROFILE")
    }

    /// The same path and question at the Function URL.
    fn address(&self, asked: &Uri) -> anyhow::Result<Uri> {
        let mut parts = self.url.clone().into_parts();
        let asked = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        let base = self.url.path().trim_end_matches('/');
        parts.path_and_query = Some(format!("{base}{asked}").parse()?);
        Ok(Uri::from_parts(parts)?)
    }

    async fn ask(&self, request: Request) -> anyhow::Result<Response> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.context("read the request")?;
        let mut passed = http::Request::builder().method(head.method).uri(self.address(&head.uri)?);
        for name in PASSED {
            if let Some(value) = head.headers.get(&name) {
                passed = passed.header(name, value);
            }
        }
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        let passed = passed.header(header::HOST, host).body(body)?;
        let mut signed = self.sign(passed).await?;
        if let Some(connect) = &self.connect {
            let mut parts = signed.uri().clone().into_parts();
            parts.authority = Some(connect.clone());
            *signed.uri_mut() = Uri::from_parts(parts)?;
        }
        let answer = self.client.request(signed.map(Body::from)).await;
        let answer = answer.with_context(|| format!("{} does not answer", self.url))?;
        let (mut head, body) = answer.into_parts();
        strip(&mut head.headers);
        Ok(Response::from_parts(head, Body::new(body)))
    }

    async fn sign(
        &self,
        mut request: http::Request<Bytes>,
    ) -> anyhow::Result<http::Request<Bytes>> {
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SIGNED_SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        let headers = request.headers().iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(method, uri, headers, body)?;
        let (instructions, _) = sign(signable, &params.into())?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

fn strip(headers: &mut HeaderMap) {
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
}

async fn pass_on(State(far): State<Arc<Far>>, request: Request) -> Response {
    let asked = request.uri().clone();
    match far.ask(request).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%asked, error = format!("{error:#}"), "not passed on");
            (StatusCode::BAD_GATEWAY, format!("flambeau open: {error:#}\n")).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_url_tells_its_region() {
        assert_eq!(region_of("abc.lambda-url.eu-north-1.on.aws").as_deref(), Some("eu-north-1"));
        assert_eq!(region_of("localhost"), None);
        assert_eq!(region_of("render.example.org"), None);
    }
}
