//! Checksums of a body: what the client says they are, and what they are.
//!
//! The client may say it before the body (headers) or after it (trailers of
//! an aws-chunked body); either way a put commits only if they agree.

use axum::http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::Checksum;
use s3s::{S3Request, S3Result, TrailingHeaders, s3_error};

/// Copies the checksum fields of an S3 input.
macro_rules! stated {
    ($input:expr) => {
        $crate::s3::digest::Stated {
            md5: $input.content_md5.take(),
            checksum: s3s::dto::Checksum {
                checksum_crc32: $input.checksum_crc32.take(),
                checksum_crc32c: $input.checksum_crc32c.take(),
                checksum_crc64nvme: $input.checksum_crc64nvme.take(),
                checksum_sha1: $input.checksum_sha1.take(),
                checksum_sha256: $input.checksum_sha256.take(),
                ..Default::default()
            },
        }
    };
}
pub(super) use stated;

/// What the headers say.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// `Content-MD5`, base64.
    pub(super) md5: Option<String>,
    pub(super) checksum: Checksum,
}

/// What will be checked once the body is read.
pub(super) struct Expected {
    stated: Stated,
    /// Trailer names announced before the body, lower case.
    promised: Vec<String>,
    trailers: Option<TrailingHeaders>,
}

impl Expected {
    pub(super) fn of<T>(request: &S3Request<T>, stated: Stated) -> Self {
        let headers = request.headers.get_all("x-amz-trailer");
        let names = headers.iter().filter_map(|value| value.to_str().ok());
        let promised = names
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        Self { stated, promised, trailers: request.trailing_headers.clone() }
    }

    /// Hashers for what will be compared, and MD5 for the entity tag.
    pub(super) fn hashers(&self) -> Hashers {
        let sum = &self.stated.checksum;
        let wanted =
            |stated: &Option<String>, name| stated.is_some() || self.is_promised(&header(name));
        Hashers {
            md5: Md5::new(),
            others: ChecksumHasher {
                crc32: wanted(&sum.checksum_crc32, "crc32").then(Default::default),
                crc32c: wanted(&sum.checksum_crc32c, "crc32c").then(Default::default),
                crc64nvme: wanted(&sum.checksum_crc64nvme, "crc64nvme").then(Default::default),
                sha1: wanted(&sum.checksum_sha1, "sha1").then(Default::default),
                sha256: wanted(&sum.checksum_sha256, "sha256").then(Default::default),
            },
        }
    }

    fn is_promised(&self, header: &str) -> bool {
        self.promised.iter().any(|name| name == header)
    }

    /// Compares, after the body was read to its end.
    ///
    /// # Errors
    /// `BadDigest` naming the checksum that differs; `IncompleteBody` if an
    /// announced trailer did not come.
    pub(super) fn check(&self, actual: &Digests) -> S3Result<()> {
        if let Some(md5) = &self.stated.md5
            && *md5 != base64(&actual.md5)
        {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body"));
        }
        let (sum, got) = (&self.stated.checksum, &actual.checksum);
        self.compare("crc32", &sum.checksum_crc32, &got.checksum_crc32)?;
        self.compare("crc32c", &sum.checksum_crc32c, &got.checksum_crc32c)?;
        self.compare("crc64nvme", &sum.checksum_crc64nvme, &got.checksum_crc64nvme)?;
        self.compare("sha1", &sum.checksum_sha1, &got.checksum_sha1)?;
        self.compare("sha256", &sum.checksum_sha256, &got.checksum_sha256)
    }

    fn compare(
        &self,
        name: &str,
        stated: &Option<String>,
        actual: &Option<String>,
    ) -> S3Result<()> {
        let header = header(name);
        let trailer = self.trailer(&header);
        if self.is_promised(&header) && trailer.is_none() {
            return Err(s3_error!(IncompleteBody, "trailer {header} is missing"));
        }
        for claim in [stated, &trailer].into_iter().flatten() {
            if Some(claim) != actual.as_ref() {
                return Err(s3_error!(BadDigest, "{header} does not match the body"));
            }
        }
        Ok(())
    }

    fn trailer(&self, header: &str) -> Option<String> {
        let value = |trailers: &HeaderMap| {
            let value = trailers.get(header)?.to_str().ok()?;
            Some(value.trim().to_owned())
        };
        self.trailers.as_ref()?.read(value).flatten()
    }
}

fn header(checksum: &str) -> String {
    format!("x-amz-checksum-{checksum}")
}

/// Hashes under way.
pub(super) struct Hashers {
    md5: Md5,
    others: ChecksumHasher,
}

impl Hashers {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.others.update(bytes);
    }

    pub(super) fn finish(self) -> Digests {
        Digests { md5: self.md5.finalize(), checksum: self.others.finalize() }
    }
}

/// What the body's checksums are.
#[derive(Debug)]
pub(super) struct Digests {
    pub(super) md5: [u8; 16],
    pub(super) checksum: Checksum,
}

/// MD5 of bytes in memory.
pub(super) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::checksum(bytes)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
