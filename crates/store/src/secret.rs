//! A secret text: in AWS Secrets Manager, or in a file of one machine.

use std::{fmt, path::PathBuf, str::FromStr};

use aws_config::BehaviorVersion;
use aws_sdk_secretsmanager::{
    Client,
    operation::{get_secret_value::GetSecretValueError, put_secret_value::PutSecretValueError},
};

use crate::error::{ErrorKind, StoreError};

/// Where a secret is kept: `secretsmanager:NAME` (a name or an ARN) or
/// `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A secret of AWS Secrets Manager.
    Manager(String),
    /// A file, for one machine.
    File(PathBuf),
}

/// A place that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not where a secret can be: write secretsmanager:NAME or file:PATH")]
pub struct NoPlace(String);

impl FromStr for SecretPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            (_, "") => Err(NoPlace(text.to_owned())),
            ("secretsmanager", name) => Ok(Self::Manager(name.to_owned())),
            ("file", path) => Ok(Self::File(path.into())),
            _ => Err(NoPlace(text.to_owned())),
        }
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(name) => write!(f, "secretsmanager:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl SecretPlace {
    async fn client() -> Client {
        Client::new(&aws_config::defaults(BehaviorVersion::latest()).load().await)
    }

    fn failed(&self, doing: &str, kind: ErrorKind, why: impl fmt::Display) -> StoreError {
        StoreError::new(kind, format!("{doing} secret `{self}`"), why.to_string())
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none yet; when it cannot be read.
    pub async fn read(&self) -> Result<String, StoreError> {
        match self {
            Self::Manager(name) => {
                let got = Self::client().await.get_secret_value().secret_id(name).send().await;
                let is_absent =
                    |error: &GetSecretValueError| error.is_resource_not_found_exception();
                let got = got.map_err(|error| match error.as_service_error() {
                    // Elsewhere this code says that a table is missing, so it is told here.
                    Some(absent) if is_absent(absent) => {
                        self.failed("read", ErrorKind::NotFound, "there is no such secret")
                    }
                    _ => StoreError::sdk(format!("read secret `{self}`"), error),
                })?;
                let none = || self.failed("read", ErrorKind::Corrupt, "it is not a text");
                got.secret_string().map(str::to_owned).ok_or_else(none)
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path);
                text.map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => self.failed("read", ErrorKind::NotFound, error),
                    _ => self.failed("read", ErrorKind::Unavailable, error),
                })
            }
        }
    }

    /// Writes the secret, in place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write(&self, text: &str) -> Result<(), StoreError> {
        match self {
            Self::Manager(name) => {
                let client = Self::client().await;
                let put = client.put_secret_value().secret_id(name).secret_string(text);
                let put = put.send().await;
                let doing = || format!("write secret `{self}`");
                let is_new = |error: &PutSecretValueError| error.is_resource_not_found_exception();
                match put {
                    Ok(_) => Ok(()),
                    Err(error) if error.as_service_error().is_some_and(is_new) => {
                        let create = client.create_secret().name(name).secret_string(text);
                        create.send().await.map(drop).map_err(|e| StoreError::sdk(doing(), e))
                    }
                    Err(error) => Err(StoreError::sdk(doing(), error)),
                }
            }
            Self::File(path) => write_private(path, text)
                .map_err(|error| self.failed("write", ErrorKind::Unavailable, error)),
        }
    }
}

/// A file that only its owner reads.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_come_back_and_others_are_refused() {
        for text in ["secretsmanager:flambeau/default", "file:/tmp/a:b"] {
            assert_eq!(text.parse::<SecretPlace>().unwrap().to_string(), text);
        }
        for text in ["", "file:", "ssm:/x", "plain-secret"] {
            assert!(text.parse::<SecretPlace>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_is_private_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("flambeau-secret-{}", std::process::id()));
        let place = SecretPlace::File(path.clone());
        assert_eq!(place.read().await.unwrap_err().kind(), ErrorKind::NotFound);
        for text in ["one", "another"] {
            place.write(text).await.unwrap();
            assert_eq!(place.read().await.unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(path).unwrap();
    }
}
