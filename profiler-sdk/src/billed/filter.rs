//! Which spans are heard of, whatever the log prints.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Targets whose spans are passed over unless asked for: transports keep a span open for as long
/// as a connection lives, which would make every connection a thing that is waited for.
pub const TRANSPORTS: &[&str] = &["h2", "hyper", "hyper_util", "rustls", "tower"];

/// Spans up to a level; no events.
///
/// A filter of one layer: it neither shows these spans to other layers nor hides any from them.
/// That works as long as the other layers have filters of their own, too. A filter that is
/// itself a layer, such as `registry().with(EnvFilter::…)`, rules over all of them: say
/// `fmt::layer().with_filter(EnvFilter::…)` instead.
#[derive(Debug, Clone)]
pub struct SpanFilter {
    most: LevelFilter,
    ignored: Vec<&'static str>,
}

impl Default for SpanFilter {
    /// Up to `DEBUG`, which is where the AWS SDK's spans are, without [`TRANSPORTS`].
    fn default() -> Self {
        Self { most: LevelFilter::DEBUG, ignored: TRANSPORTS.to_vec() }
    }
}

impl SpanFilter {
    /// Only spans of this level and above it.
    #[must_use]
    pub fn up_to(mut self, level: Level) -> Self {
        self.most = LevelFilter::from_level(level);
        self
    }

    /// No spans of this target, nor of targets below it (`target::…`).
    #[must_use]
    pub fn without(mut self, target: &'static str) -> Self {
        self.ignored.push(target);
        self
    }

    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
            && *metadata.level() <= self.most
            && !self.ignored.iter().any(|ignored| is_of(metadata.target(), ignored))
    }
}

/// Whether a target is `room` or below it.
pub(super) fn is_of(target: &str, room: &str) -> bool {
    let rest = target.strip_prefix(room);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.hears(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_not_what_begins_like_it() {
        assert!(is_of("hyper", "hyper") && is_of("hyper::client", "hyper"));
        assert!(!is_of("hyperloop", "hyper") && !is_of("my::hyper", "hyper"));
    }
}
