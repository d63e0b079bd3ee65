//! The folder in which one environment's processes leave things to each other.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flambeau_layout::{EnvId, SnapshotKey};

use crate::settings::Settings;

/// Holds the environment's id, where an environment has one `/tmp` for itself.
const ENVIRONMENT: &str = "environment";

/// `{temporary folder}/flambeau/{tenant}/{service}`, private to this user: several functions
/// may share one machine while they are tried out.
pub(crate) fn folder(settings: &Settings) -> PathBuf {
    let prefix = SnapshotKey::prefix(&settings.tenant, &settings.service);
    let own = prefix.split_once('/').map_or("", |(_, own)| own);
    std::env::temp_dir().join("flambeau").join(own)
}

/// The id of this environment: the one an earlier process of it drew, or a new one.
///
/// Only in Lambda is the temporary folder one environment's own; elsewhere each process is an
/// environment.
pub(crate) fn environment(settings: &Settings) -> Result<EnvId, String> {
    let draw = || EnvId::random().map_err(|error| error.to_string());
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return draw();
    }
    let folder = folder(settings);
    match kept(&folder) {
        Some(id) => Ok(id),
        None => draw().inspect(|id| keep(&folder, id)),
    }
}

fn kept(folder: &Path) -> Option<EnvId> {
    std::fs::read_to_string(folder.join(ENVIRONMENT)).ok()?.parse().ok()
}

/// Without a folder every process is an environment of its own: nothing is lost by that.
fn keep(folder: &Path, id: &EnvId) {
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(ENVIRONMENT));
    let _ = file.and_then(|mut file| file.write_all(id.as_str().as_bytes()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_is_kept_and_rubbish_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("t/s");
        assert_eq!(kept(&below), None);
        let id = EnvId::random().unwrap();
        keep(&below, &id);
        assert_eq!(kept(&below), Some(id));
        std::fs::write(below.join(ENVIRONMENT), "../../etc").unwrap();
        assert_eq!(kept(&below), None);
    }
}
