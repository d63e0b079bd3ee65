//! Tokens and the keys of links: one JSON document, kept where secrets are.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use flambeau_layout::TenantId;
use flambeau_store::{SecretPlace, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Version of the document.
const VERSION: u32 = 1;
/// Bytes of a token, and of a link's key, before they are written in hexadecimal
/// digits.
const SECRET_BYTES: usize = 32;
/// Most tokens in one document: each is compared with what a request carries.
const MAX_TOKENS: usize = 256;

/// What is kept: tokens by their hashes, so that who reads the document cannot use
/// them, and keys by which links are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    v: u32,
    /// Keys of links; the first signs, all are good for checking.
    pub links: Vec<LinkKey>,
    /// Who has a token.
    pub tokens: Vec<TokenEntry>,
}

/// A key by which links are signed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkKey {
    /// What stands in links to name it.
    pub id: String,
    /// The key, in hexadecimal digits.
    pub key: String,
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkKey({})", self.id)
    }
}

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// To whom, for people.
    pub name: String,
    /// Whose profiles it shows.
    pub tenant: TenantId,
    /// SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
}

/// A document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It could not be read.
    #[error("{0}; `flambeau token --secret …` makes one")]
    Store(#[from] StoreError),
    /// Not the JSON it should be.
    #[error("the secret is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a newer Flambeau.
    #[error("the secret has version {0}, this build knows {VERSION}; update render")]
    UnknownVersion(u32),
    /// Too many tokens.
    #[error("the secret has {0} tokens, more than the {MAX_TOKENS} allowed; take some away")]
    TooManyTokens(usize),
    /// A key that is none.
    #[error("link key `{0}` is not {SECRET_BYTES} bytes in hexadecimal digits")]
    BadKey(String),
    /// No random bytes could be had.
    #[error("no random bytes could be had: {0}")]
    Random(getrandom::Error),
}

impl Secret {
    /// A document without tokens, and with one fresh key for links.
    ///
    /// # Errors
    /// When no random bytes can be had.
    pub fn new() -> Result<Self, SecretError> {
        let key = LinkKey { id: "1".to_owned(), key: random_hex()? };
        Ok(Self { v: VERSION, links: vec![key], tokens: Vec::new() })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(json: &str) -> Result<Self, SecretError> {
        let secret: Self = serde_json::from_str(json)?;
        if secret.v != VERSION {
            return Err(SecretError::UnknownVersion(secret.v));
        }
        if secret.tokens.len() > MAX_TOKENS {
            return Err(SecretError::TooManyTokens(secret.tokens.len()));
        }
        let bad = secret.links.iter().find(|key| key.bytes().is_none());
        bad.map_or(Ok(()), |key| Err(SecretError::BadKey(key.id.clone())))?;
        Ok(secret)
    }

    /// The document as text.
    ///
    /// # Errors
    /// Never in practice: every field is plain data.
    pub fn to_json(&self) -> Result<String, SecretError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Makes a token for `name`, in place of the one it had; the token itself is
    /// answered, and nowhere kept.
    ///
    /// # Errors
    /// When no random bytes can be had, or there are too many.
    pub fn add_token(&mut self, name: &str, tenant: &TenantId) -> Result<String, SecretError> {
        self.remove_token(name, tenant);
        if self.tokens.len() >= MAX_TOKENS {
            return Err(SecretError::TooManyTokens(self.tokens.len() + 1));
        }
        let token = random_hex()?;
        let (name, tenant) = (name.to_owned(), tenant.clone());
        self.tokens.push(TokenEntry { name, tenant, sha256: hex(&Sha256::digest(&token)) });
        Ok(token)
    }

    /// Takes a token away; whether there was one.
    pub fn remove_token(&mut self, name: &str, tenant: &TenantId) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|entry| entry.name != name || entry.tenant != *tenant);
        self.tokens.len() < before
    }

    /// Who has this token for this tenant. Takes the same time whichever of the
    /// tokens it is, or none.
    pub(super) fn holder(&self, token: &str, tenant: &TenantId) -> Option<String> {
        let hash = hex(&Sha256::digest(token));
        let mut found = None;
        for entry in &self.tokens {
            let same = entry.sha256.as_bytes().ct_eq(hash.as_bytes());
            if bool::from(same) && entry.tenant == *tenant {
                found = Some(entry.name.clone());
            }
        }
        found
    }
}

impl LinkKey {
    pub(super) fn bytes(&self) -> Option<[u8; SECRET_BYTES]> {
        let mut bytes = [0; SECRET_BYTES];
        if self.key.len() != 2 * SECRET_BYTES || !self.key.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(self.key.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(bytes)
    }
}

fn random_hex() -> Result<String, SecretError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(SecretError::Random)?;
    Ok(hex(&bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long a document is believed before it is read again: what was taken away
/// opens doors no longer than that.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long it is believed when it cannot be read again.
const BELIEVED_AT_MOST: Duration = Duration::from_secs(3600);

/// Reads the document when it is needed, and keeps it for a while.
#[derive(Debug)]
pub struct Keeper {
    place: SecretPlace,
    held: Mutex<Option<(Instant, Arc<Secret>)>>,
}

impl Keeper {
    pub(super) fn new(place: SecretPlace) -> Self {
        Self { place, held: Mutex::new(None) }
    }

    pub(super) async fn secret(&self) -> Result<Arc<Secret>, SecretError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, secret)) = &held
            && at.elapsed() < BELIEVED
        {
            return Ok(Arc::clone(secret));
        }
        match (self.read().await, held) {
            (Ok(secret), _) => {
                let secret = Arc::new(secret);
                let fresh = Some((Instant::now(), Arc::clone(&secret)));
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                Ok(secret)
            }
            (Err(error), Some((at, secret))) if at.elapsed() < BELIEVED_AT_MOST => {
                tracing::warn!(%error, "secret not readable; the one read before still holds");
                Ok(secret)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn read(&self) -> Result<Secret, SecretError> {
        Secret::parse(&self.place.read().await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_tenant_until_it_is_taken_away() {
        let mut secret = Secret::new().unwrap();
        let token = secret.add_token("grafana", &tenant("a")).unwrap();
        let other = secret.add_token("grafana", &tenant("b")).unwrap();
        assert!(!secret.to_json().unwrap().contains(&token), "the token itself is not kept");
        let read = Secret::parse(&secret.to_json().unwrap()).unwrap();
        assert_eq!(read.holder(&token, &tenant("a")).as_deref(), Some("grafana"));
        assert_eq!(read.holder(&token, &tenant("b")), None);
        assert_eq!(read.holder(&other, &tenant("a")), None);
        assert_eq!(read.holder(&read.tokens[0].sha256, &tenant("a")), None);
        let renewed = secret.add_token("grafana", &tenant("a")).unwrap();
        assert_eq!(secret.holder(&token, &tenant("a")), None, "one name has one token");
        assert!(secret.holder(&renewed, &tenant("a")).is_some());
        assert!(secret.remove_token("grafana", &tenant("a")));
        assert!(!secret.remove_token("grafana", &tenant("a")));
    }

    #[test]
    fn documents_are_checked() {
        let mut secret = Secret::new().unwrap();
        for n in 0..MAX_TOKENS {
            secret.add_token(&n.to_string(), &tenant("a")).unwrap();
        }
        assert!(Secret::parse(&secret.to_json().unwrap()).is_ok());
        let error = secret.add_token("one more", &tenant("a")).unwrap_err();
        assert!(error.to_string().contains("more than the 256 allowed"));
        secret.links[0].key = "short".into();
        assert!(matches!(Secret::parse(&secret.to_json().unwrap()), Err(SecretError::BadKey(_))));
        for (json, said) in
            [("{", "not readable"), (r#"{"v":2,"links":[],"tokens":[]}"#, "version 2")]
        {
            assert!(Secret::parse(json).unwrap_err().to_string().contains(said));
        }
    }
}
