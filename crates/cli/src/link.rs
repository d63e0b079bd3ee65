//! `flambeau link`: an address that opens one answer to whoever has it, for a while.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use flambeau_render::access::sign;
use http::Uri;
use jiff::{Span, SpanRelativeTo, Unit};

use crate::{exit::Exit, token::Keys};

/// Arguments of `link`.
#[derive(Debug, Args)]
pub(crate) struct Link {
    /// What to open: an address of the deployment, as a browser shows it.
    #[arg(value_name = "URL")]
    url: Uri,
    /// For how long: at most seven days.
    #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = seconds)]
    life: i64,
    #[command(flatten)]
    keys: Keys,
}

impl Link {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let expires = i64::try_from(since)?.saturating_add(self.life);
        let secret = self.keys.read().await?;
        let query = self.url.query().unwrap_or_default();
        let query = sign(&secret, &self.keys.tenant, self.url.path(), query, expires)?;
        println!("{}", with_query(&self.url, &query)?);
        Ok(Exit::Ok)
    }
}

fn with_query(url: &Uri, query: &str) -> anyhow::Result<Uri> {
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", url.path()).parse()?);
    Uri::from_parts(parts).context("write the link")
}

fn seconds(text: &str) -> anyhow::Result<i64> {
    let span: Span = text.parse().context("write a time such as 30m, 12h or 7d")?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours()))?;
    anyhow::ensure!(seconds >= 1.0, "a link must hold for a second at least");
    Ok(seconds as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in
            [("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("1d 6h", 108_000)]
        {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for text in ["", "soon", "-1h", "0s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_keeps_its_host_and_path() {
        for (url, linked) in [
            ("https://h.example/s/a/cpu?from=1", "https://h.example/s/a/cpu?x=1"),
            ("/s/a/cpu", "/s/a/cpu?x=1"),
        ] {
            assert_eq!(with_query(&url.parse().unwrap(), "x=1").unwrap().to_string(), linked);
        }
    }
}
