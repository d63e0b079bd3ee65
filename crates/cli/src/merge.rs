//! `flambeau merge`: pprof files into one, here and now.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use flambeau_profile::{AddOptions, DEFAULT_LEVEL, Limits, Merger};

use crate::exit::Exit;

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// pprof files, or folders of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The file to write.
    #[arg(short, long)]
    out: PathBuf,
}

impl Merge {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let files = expand(&self.files)?;
        let bar = progress(files.len());
        let mut merger = Merger::new(Limits::default());
        for file in bar.wrap_iter(files.iter()) {
            let bytes =
                std::fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
            let added = merger.add(&bytes, &AddOptions::default());
            added.with_context(|| format!("merge `{}`", file.display()))?;
        }
        let merged = merger.finish()?;
        std::fs::write(&self.out, merged.encode_gzip(DEFAULT_LEVEL))
            .with_context(|| format!("write `{}`", self.out.display()))?;
        let samples = merged.samples().len();
        println!("{} files, {samples} samples: {}", files.len(), self.out.display());
        Ok(Exit::Ok)
    }
}

/// Folders stand for the files in them, in order of their names.
fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = list(path).with_context(|| format!("list `{}`", path.display()))?;
            anyhow::ensure!(!inside.is_empty(), "`{}` has no files", path.display());
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A bar on a terminal, silent elsewhere.
fn progress(files: usize) -> indicatif::ProgressBar {
    indicatif::ProgressBar::new(files as u64)
}
