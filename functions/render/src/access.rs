//! Who may ask.
//!
//! Two modes. With `iam` the Function URL asks AWS who somebody is before a
//! request comes here (and on one machine only loopback is listened to), so
//! nothing is checked again. With `token` the URL is open to all, and every
//! request must carry a token, as a bearer or as the password of basic
//! authentication, or stand on a signed link that has not expired. Whoever is let
//! in sees one tenant: that of the token or link, which must be the one this
//! function serves.

mod link;
mod secret;
mod token;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use flambeau_layout::{TenantId, environment};
use flambeau_store::SecretPlace;
use http::{HeaderMap, Uri};

pub(crate) use link::Link;
pub use link::{LinkError, SHOWN_ONLY, sign};
use secret::Keeper;
pub use secret::{LinkKey, Secret, SecretError, TokenEntry};

use crate::error::RenderError;

/// Who may ask.
#[derive(Debug)]
pub enum Access {
    /// Whoever gets here: somebody else has asked who they are.
    Iam,
    /// Who has a token or a signed link.
    Token(Keeper),
}

/// By what a request was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// By who let it come here.
    Outside,
    /// By the token of this name.
    Token(String),
    /// By a link.
    Link(Link),
}

/// What a request carries, unchecked.
enum Carried {
    Token(String),
    Link(Link),
}

impl Carried {
    fn by(headers: &HeaderMap, uri: &Uri) -> Result<Self, Refusal> {
        match token::of(headers) {
            Some(token) => Ok(Self::Token(token)),
            None => Link::of(uri)?.map(Self::Link).ok_or(Refusal::Nobody),
        }
    }
}

/// Why a request is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It carries nothing.
    #[error(
        "who asks? send a token (bearer, or as the password of basic authentication), or use a \
         link made by `flambeau link`"
    )]
    Nobody,
    /// What it carries is not known.
    #[error("this token is not known here, or no more")]
    UnknownToken,
    /// Its link does not hold.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Nobody can be let in, since the secret cannot be read.
    #[error("tokens cannot be checked: {0}")]
    Unready(String),
}

impl Access {
    /// Reads `FLAMBEAU_ACCESS` and, with `token`, `FLAMBEAU_SECRET`.
    ///
    /// # Errors
    /// When one is missing or malformed, naming it.
    pub fn from_env() -> anyhow::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::of(variable(environment::ACCESS).as_deref(), variable(environment::SECRET).as_deref())
    }

    fn of(mode: Option<&str>, secret: Option<&str>) -> anyhow::Result<Self> {
        match mode {
            None | Some("iam") => Ok(Self::Iam),
            Some("token") => {
                let name = environment::SECRET;
                let place = secret.ok_or_else(|| {
                    anyhow::anyhow!("{name} is not set; it must say where tokens are kept")
                })?;
                Ok(Self::token(place.parse()?))
            }
            Some(other) => {
                let name = environment::ACCESS;
                anyhow::bail!("{name} `{other}` is not known; write iam or token")
            }
        }
    }

    /// Access by the tokens and keys kept at `place`.
    #[must_use]
    pub fn token(place: SecretPlace) -> Self {
        Self::Token(Keeper::new(place))
    }

    async fn admit(
        &self,
        tenant: &TenantId,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Admitted, Refusal> {
        let Self::Token(keeper) = self else { return Ok(Admitted::Outside) };
        // Who carries nothing costs no look at the secret.
        let carried = Carried::by(headers, uri)?;
        let secret = keeper.secret().await.map_err(|error| Refusal::Unready(error.to_string()))?;
        match carried {
            Carried::Token(token) => {
                let known = secret.holder(&token, tenant);
                known.map(Admitted::Token).ok_or(Refusal::UnknownToken)
            }
            Carried::Link(link) => {
                link.check(&secret, tenant, uri, link::now())?;
                Ok(Admitted::Link(link))
            }
        }
    }

    /// The query of a link to `path` that ends when `admitted` does; the same as it
    /// was where links carry nothing.
    pub(crate) async fn extend(
        &self,
        tenant: &TenantId,
        admitted: &Admitted,
        path: &str,
        query: &str,
    ) -> String {
        let (Self::Token(keeper), Admitted::Link(link)) = (self, admitted) else {
            return query.to_owned();
        };
        match keeper.secret().await {
            Ok(secret) => sign(&secret, tenant, path, query, link.expires)
                .unwrap_or_else(|_| query.to_owned()),
            Err(_) => query.to_owned(),
        }
    }
}

/// What anyone may have: it says nothing of anybody's profiles.
fn is_public(path: &str) -> bool {
    path == "/ready" || path == "/favicon.ico" || path.starts_with("/static/")
}

/// Lets through who may ask, and notes by what.
pub(crate) async fn guard(
    State(state): State<crate::State>,
    mut request: Request,
    next: Next,
) -> Response {
    if is_public(request.uri().path()) {
        return next.run(request).await;
    }
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    match state.access.admit(&state.tenant, &headers, &uri).await {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(refusal) => RenderError::Refused(refusal).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_are_named_and_need_what_they_need() {
        assert!(matches!(Access::of(None, None).unwrap(), Access::Iam));
        assert!(matches!(Access::of(Some("iam"), None).unwrap(), Access::Iam));
        assert!(Access::of(Some("token"), Some("file:/x")).is_ok());
        let said = |mode, secret| Access::of(Some(mode), secret).unwrap_err().to_string();
        assert!(said("token", None).contains("FLAMBEAU_SECRET"));
        assert!(said("token", Some("hunter2")).contains("secretsmanager:NAME"));
        assert!(said("open", None).contains("FLAMBEAU_ACCESS `open`"));
    }

    #[test]
    fn only_what_tells_nothing_is_public() {
        assert!(is_public("/static/page.0123.js") && is_public("/ready"));
        for path in ["/", "/s/a/cpu", "/staticx", "/diff/static/", "//static/x", "/s/../static/"] {
            assert!(!is_public(path), "{path}");
        }
    }
}
