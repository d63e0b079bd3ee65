//! HTTP on loopback only, closed to web pages.
//!
//! A page from anywhere can make a browser send requests to 127.0.0.1, under
//! its own name after DNS rebinding. Both leave a mark: `Host` is then not a
//! loopback name, or `Origin` names the page. Requests with such a mark are
//! refused before they reach a handler.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use std::future::IntoFuture;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long [`Served::stop`] lets running requests finish.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// Whether a `Host` header value (`name`, `name:port`, `[v6]:port`) names this
/// machine's loopback: an address of 127.0.0.0/8, `[::1]`, `localhost` or a
/// name under it, which RFC 6761 reserves, so no DNS answer can claim it.
pub fn is_loopback_host(host: &str) -> bool {
    let Some(name) = host_name(host) else {
        return false;
    };
    if let Some(v6) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return v6.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_localhost = |n: &str| n.eq_ignore_ascii_case("localhost");
    name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        || is_localhost(name)
        || name.rsplit_once('.').is_some_and(|(_, top)| is_localhost(top))
}

/// Whether an `Origin` header value is a page served from loopback. `null`
/// (a sandboxed frame, a file) is not.
pub fn is_loopback_origin(origin: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .find_map(|scheme| origin.strip_prefix(scheme))
        .is_some_and(is_loopback_host)
}

/// The name without its port; none if what follows it is not a port.
fn host_name(host: &str) -> Option<&str> {
    let end = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().ok().map(|_| name),
        None => port.is_empty().then_some(name),
    }
}

fn is_allowed(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    let host = text(header::HOST).or(uri.authority().map(|a| a.as_str()));
    host.is_some_and(is_loopback_host) && text(header::ORIGIN).is_none_or(is_loopback_origin)
}

/// Axum middleware: answers 403 unless `Host` is a loopback name and `Origin`,
/// where a browser sent one, is a loopback page.
pub async fn loopback_only(request: Request, next: Next) -> Response {
    if is_allowed(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let why = "refused: ask by a loopback name (127.0.0.1, localhost), not from a foreign page\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

/// A running HTTP server. Dropping it leaves the server running for as long
/// as its runtime; [`stop`](Self::stop) ends it.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no new requests and waits up to [`STOP_GRACE`] for running ones.
    pub async fn stop(self) {
        let abort = self.task.abort_handle();
        // An error means the server has already gone.
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP_GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Serves `app` behind [`loopback_only`] on `listener`, in a task of its own.
///
/// # Errors
/// If the listener cannot tell its address.
pub fn serve(listener: TcpListener, app: Router) -> io::Result<Served> {
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    // Small answers must not wait for a full packet.
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    let shutdown = async move {
        if stopped.await.is_err() {
            // The handle was dropped without a stop: keep serving.
            std::future::pending::<()>().await;
        }
    };
    let server = axum::serve(listener, app.layer(from_fn(loopback_only)))
        .with_graceful_shutdown(shutdown)
        .into_future();
    let task = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%address, %error, "server ended");
        }
    });
    Ok(Served { address, stop, task })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_accepted() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:4040",
            "127.9.8.7:1",
            "localhost",
            "LocalHost:65535",
            "localhost.:80",
            "bucket.localhost:4566",
            "[::1]",
            "[::1]:4040",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "",
            ":4040",
            "evil.example",
            "evil.example:4040",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "128.0.0.1",
            "0.0.0.0:4040",
            "10.0.0.1",
            "::1",
            "[::2]:4040",
            "[::1]evil",
            "[::1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:80:80",
            "localhost@evil.example",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn origins_follow_their_host() {
        assert!(is_loopback_origin("http://localhost:3000"));
        assert!(is_loopback_origin("https://127.0.0.1"));
        for origin in ["null", "", "http://evil.example", "localhost", "file://"] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }
}
