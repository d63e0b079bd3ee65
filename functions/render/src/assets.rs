//! The script and the style of the pages: built by `web/build.mjs`, committed, and
//! part of the program. Their names change with their contents, so that a browser
//! never asks for one twice.

use std::sync::LazyLock;

use axum::{extract::Path, response::Response};
use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::{answer, error::RenderError};

/// A file that pages refer to.
pub(crate) struct Asset {
    name: &'static str,
    suffix: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
    brotli: &'static [u8],
    hash: LazyLock<String>,
}

macro_rules! asset {
    ($name:literal, $suffix:literal, $content_type:literal) => {{
        const PLAIN: &[u8] = include_bytes!(concat!("../../../web/dist/", $name, ".", $suffix));
        Asset {
            name: $name,
            suffix: $suffix,
            content_type: $content_type,
            plain: PLAIN,
            gzip: include_bytes!(concat!("../../../web/dist/", $name, ".", $suffix, ".gz")),
            brotli: include_bytes!(concat!("../../../web/dist/", $name, ".", $suffix, ".br")),
            hash: LazyLock::new(|| hash(PLAIN)),
        }
    }};
}

pub(crate) static SCRIPT: Asset = asset!("page", "js", "text/javascript; charset=utf-8");
pub(crate) static STYLE: Asset = asset!("page", "css", "text/css; charset=utf-8");
static ICON: Asset = asset!("icon", "svg", "image/svg+xml");

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Asset {
    fn file(&self) -> String {
        format!("{}.{}.{}", self.name, *self.hash, self.suffix)
    }

    /// Where it is.
    pub(crate) fn href(&self) -> String {
        format!("/static/{}", self.file())
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        answer::asset(self.content_type, (self.plain, self.gzip, self.brotli), asked)
    }
}

/// `/static/{file}`.
pub(crate) async fn file(
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, RenderError> {
    let found = [&SCRIPT, &STYLE].into_iter().find(|asset| asset.file() == file);
    found.map(|asset| asset.answer(&headers)).ok_or(RenderError::NoRoute)
}

/// `/favicon.ico`: browsers ask for it whatever a page says.
pub(crate) async fn icon(headers: HeaderMap) -> Response {
    ICON.answer(&headers)
}
