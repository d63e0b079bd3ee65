//! Links that let in who holds them, until they expire: for `go tool pprof`,
//! which can only send what stands in the URL, and for people.
//!
//! A link carries `exp` (Unix seconds) and `sig`, the name of a key and an
//! HMAC-SHA256 (RFC 2104) over the tenant, the path, every parameter of the query
//! but those of [`SHOWN_ONLY`], and `exp`. Who holds it can look at that answer in
//! every way, and at no other.

use std::time::{SystemTime, UNIX_EPOCH};

use flambeau_layout::TenantId;
use hmac::{Hmac, KeyInit, Mac};
use http::Uri;
use sha2::Sha256;

use super::secret::{LinkKey, Secret, hex};
use crate::params::Params;

/// Parameters that choose how an answer is shown, never what it is an answer of:
/// a page changes them without asking for another link.
pub const SHOWN_ONLY: [&str; 15] = [
    "around",
    "by",
    "draw",
    "drawn",
    "format",
    "max_nodes",
    "names",
    "quiet",
    "root",
    "rows",
    "search",
    "side",
    "sort",
    "top",
    "view",
];

const EXPIRES: &str = "exp";
const SIGNATURE: &str = "sig";
/// Longest life of a link, in seconds: a week.
const MAX_LIFE: i64 = 7 * 86_400;

/// A link as a request stands on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Unix seconds.
    pub(crate) expires: i64,
    key: String,
    mac: Vec<u8>,
}

/// Why a link lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Its time is over.
    #[error("the link has expired; ask whoever gave it to you for another one")]
    Expired,
    /// It would hold for too long.
    #[error("a link holds for at most seven days")]
    TooLong,
    /// It is not what was signed.
    #[error("the link is not as it was signed: its path or its question was changed")]
    Forged,
    /// It cannot be read.
    #[error("the link cannot be read: it has a bad `exp` or `sig`")]
    Malformed,
    /// There is no key to sign with.
    #[error("the secret has no key for links; `flambeau token` makes a secret with one")]
    NoKey,
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The query (without `?`) of a link to `path` that holds until `expires`, Unix
/// seconds.
///
/// # Errors
/// When the secret has no key, or the link would hold for too long.
pub fn sign(
    secret: &Secret,
    tenant: &TenantId,
    path: &str,
    query: &str,
    expires: i64,
) -> Result<String, LinkError> {
    if expires > now() + MAX_LIFE {
        return Err(LinkError::TooLong);
    }
    let key = secret.links.first().ok_or(LinkError::NoKey)?;
    let mut params = Params::parse(query);
    params.remove(SIGNATURE);
    params.set(EXPIRES, &expires.to_string());
    let mac = mac(key, tenant, path, &params, expires).ok_or(LinkError::NoKey)?;
    params.set(SIGNATURE, &format!("{}.{}", key.id, hex(&mac.finalize().into_bytes())));
    Ok(params.to_string())
}

impl Link {
    /// The link that a request stands on, if any.
    pub(super) fn of(uri: &Uri) -> Result<Option<Self>, LinkError> {
        let params = Params::parse(uri.query().unwrap_or_default());
        let Some(signature) = params.get(SIGNATURE) else { return Ok(None) };
        let expires = params.get(EXPIRES).and_then(|text| text.parse().ok());
        let (key, digits) = signature.rsplit_once('.').ok_or(LinkError::Malformed)?;
        let key = key.to_owned();
        let expires = expires.ok_or(LinkError::Malformed)?;
        Ok(Some(Self { expires, key, mac: bytes(digits).ok_or(LinkError::Malformed)? }))
    }

    pub(super) fn check(
        &self,
        secret: &Secret,
        tenant: &TenantId,
        uri: &Uri,
        now: i64,
    ) -> Result<(), LinkError> {
        let params = Params::parse(uri.query().unwrap_or_default());
        let key = secret.links.iter().find(|key| key.id == self.key).ok_or(LinkError::Forged)?;
        let mac = mac(key, tenant, uri.path(), &params, self.expires).ok_or(LinkError::Forged)?;
        // Compares in constant time; only then is anything else told.
        mac.verify_slice(&self.mac).map_err(|_| LinkError::Forged)?;
        if self.expires <= now { Err(LinkError::Expired) } else { Ok(()) }
    }
}

/// The HMAC over what a link is for; each part on a line of its own, and no part
/// can hold an end of line.
fn mac(
    key: &LinkKey,
    tenant: &TenantId,
    path: &str,
    params: &Params,
    expires: i64,
) -> Option<Hmac<Sha256>> {
    let free = |name: &str| SHOWN_ONLY.contains(&name) || name == SIGNATURE || name == EXPIRES;
    let mut signed: Vec<String> = params
        .pairs()
        .filter(|(name, _)| !free(name))
        .map(|pair| Params::from_iter([pair]).to_string())
        .collect();
    // `go tool pprof` sorts the parameters of a URL anew.
    signed.sort_unstable();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.bytes()?).ok()?;
    for part in
        ["flambeau-link/1", &tenant.encoded(), path, &signed.join("&"), &expires.to_string()]
    {
        mac.update(part.as_bytes());
        mac.update(b"\n");
    }
    Some(mac)
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let is_hex = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let pairs = (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16));
    if is_hex { pairs.collect::<Result<_, _>>().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    struct Signed {
        secret: Secret,
        query: String,
    }

    const PATH: &str = "/s/check%2Fout/cpu";

    fn signed(life: i64) -> Signed {
        let secret = Secret::new().unwrap();
        let query = "q=%7Ba%3D%22b+c%22%7D&from=now-1h&format=svg";
        let query = sign(&secret, &tenant("a"), PATH, query, now() + life).unwrap();
        Signed { secret, query }
    }

    impl Signed {
        fn check(&self, tenant_name: &str, path: &str, query: &str) -> Result<(), LinkError> {
            let uri: Uri = format!("{path}?{query}").parse().unwrap();
            let link = Link::of(&uri)?.unwrap();
            link.check(&self.secret, &tenant(tenant_name), &uri, now())
        }
    }

    #[test]
    fn a_link_is_for_its_path_its_question_and_its_tenant() {
        let signed = signed(60);
        let query = &signed.query;
        assert_eq!(signed.check("a", PATH, query), Ok(()));
        let forged = Err(LinkError::Forged);
        assert_eq!(signed.check("b", PATH, query), forged);
        assert_eq!(signed.check("a", "/s/check%2Fout/heap", query), forged);
        for (from, to) in [
            ("now-1h", "now-2h"),
            ("q=", "Q="),
            ("b+c", "b%20d"),
            ("sig=1.", "sig=2."),
            ("from=", "x=1&from="),
        ] {
            assert!(query.contains(from), "{query}");
            assert_eq!(signed.check("a", PATH, &query.replace(from, to)), forged, "{to}");
        }
        let expires = query.split("exp=").nth(1).unwrap().split('&').next().unwrap();
        let later = (expires.parse::<i64>().unwrap() + 1).to_string();
        assert_eq!(signed.check("a", PATH, &query.replace(expires, &later)), forged);
    }

    #[test]
    fn it_may_be_shown_in_any_way_and_in_any_order() {
        let signed = signed(60);
        let shown = signed.query.replace("format=svg", "format=flame.json") + "&root=ff&search=x";
        assert_eq!(signed.check("a", PATH, &shown), Ok(()));
        let mut parts: Vec<&str> = signed.query.split('&').collect();
        parts.reverse();
        assert_eq!(signed.check("a", PATH, &parts.join("&")), Ok(()));
    }

    #[test]
    fn it_ends() {
        let signed = signed(0);
        assert_eq!(signed.check("a", PATH, &signed.query), Err(LinkError::Expired));
        let secret = Secret::new().unwrap();
        let life = |seconds| sign(&secret, &tenant("a"), "/", "", now() + seconds);
        assert!(life(MAX_LIFE).is_ok());
        assert_eq!(life(MAX_LIFE + 60), Err(LinkError::TooLong));
    }

    #[test]
    fn what_is_no_link_is_said() {
        let of = |query: &str| Link::of(&format!("/?{query}").parse::<Uri>().unwrap());
        assert_eq!(of("a=b"), Ok(None));
        for query in ["sig=1.00&exp=5", "exp=x&sig=1.", "sig=zz"] {
            assert_eq!(of(query), Err(LinkError::Malformed), "{query}");
        }
    }
}
