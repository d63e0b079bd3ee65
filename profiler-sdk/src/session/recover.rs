//! Sending what processes of this environment left that were killed.

use std::collections::HashMap;
use std::time::Duration;

use flambeau_layout::{Identity, ProfilerNote, SnapshotKey, UnixMillis};
use tracing::{debug, info, warn};

use super::clock::Span;
use super::outbox::{Closed, left_behind};
use super::snapshot::{About, Part};
use super::{Session, scratch};
use crate::billed::{self, Window};
use crate::context::Context;
use crate::cpu::profile::profile;
use crate::log::{Clock, DeadFile, DeadHalf, DeadLog, LoggedDefinition, Outcome, find_dead};
use crate::names::{DefinitionKind, split};

/// How close to its deadline an invocation must have given a sign of life to count as timed
/// out. One that only waited gives none at its end, and counts as killed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

impl Session {
    /// Puts everything that dead processes left into the outbox, and deletes their logs. Only
    /// where this process leaves a log too.
    pub(super) fn recover(&self) {
        if self.survival.is_none() {
            return;
        }
        let found = match find_dead(&scratch::folder(&self.settings)) {
            Ok(found) => found,
            Err(error) => return debug!(%error, "what dead processes left cannot be read"),
        };
        if found.dropped > 0 {
            warn!(logs = found.dropped, "too many dead processes: their oldest samples are lost");
        }
        for dead in found.logs {
            self.recover_one(dead);
        }
    }

    fn recover_one(&self, dead: DeadFile) {
        let spooled = left_behind(dead.path());
        let seqs: Vec<u64> = spooled.iter().filter_map(|(_, closed)| seq_of(closed)).collect();
        let mut snapshots = spooled.len();
        for (file, closed) in spooled {
            self.delivery.outbox().adopt(closed, file);
        }
        match dead.read() {
            Ok(log) => snapshots += self.adopt_samples(&log, &seqs),
            Err(error) => warn!(%error, "the log of a dead process cannot be read"),
        }
        info!(snapshots, "found what a killed process left");
        if let Err(error) = dead.delete() {
            debug!(%error, "the log of a dead process stays behind");
        }
    }

    /// Makes snapshots of a log's halves, but for those whose bytes were spooled.
    fn adopt_samples(&self, log: &DeadLog, spooled: &[u64]) -> usize {
        let Some(identity) = self.identity_of(log) else { return 0 };
        let unsealed = log.halves.iter().filter(|half| half.seq.is_none()).count();
        let mut adopted = 0;
        // Sealed halves come first, so those without a number follow them.
        for (nth, half) in log.halves.iter().enumerate() {
            let behind = (nth + unsealed).saturating_sub(log.halves.len()) as u64;
            let seq = half.seq.unwrap_or_else(|| log.notes.next_seq.saturating_add(behind));
            if spooled.contains(&seq) {
                continue;
            }
            let identity = Identity { seq, ..identity.clone() };
            match self.snapshot_of(log, half, identity, nth + 1 == log.halves.len()) {
                Some(Ok(closed)) => {
                    self.delivery.outbox().push(closed);
                    adopted += 1;
                }
                Some(Err(error)) => warn!(%error, "samples of a dead process are lost"),
                None => {}
            }
        }
        adopted
    }

    /// Who it was; nobody before its first invocation, and then there is nothing to send.
    fn identity_of(&self, log: &DeadLog) -> Option<Identity> {
        let identity = log.notes.identity.as_ref()?;
        Some(Identity {
            tenant: self.settings.tenant.clone(),
            service: self.settings.service.clone(),
            env: identity.env.parse().ok()?,
            boot: identity.boot.parse().ok()?,
            seq: 0,
        })
    }

    fn snapshot_of(
        &self,
        log: &DeadLog,
        half: &DeadHalf,
        identity: Identity,
        is_last: bool,
    ) -> Option<Result<Closed, super::CloseError>> {
        let names = Names::of(&log.definitions);
        let labels = |context, tid| names.labels(context, tid);
        let cpu = profile(&half.samples, log.header.period, &log.mappings, labels);
        let outcome = if half.seq.is_none() { outcome_of(log, half) } else { None };
        let window = match (half.seq, is_last) {
            (None, true) => billed::account_of(log, outcome == Some(TIMEOUT)),
            // Of a process that died in a seal, the last half tells the account.
            (None, false) => Window::default(),
            (Some(_), _) => billed::account_of_snapshot(&half.account, log),
        };
        let span = self.span_of(log, half, &window, &identity);
        let billed = self.ledger.and_then(|_| billed::billed_profile(&window, cpu.as_ref()));
        // No timeline: a log does not say when invocations began but for the last one.
        let parts = Part::named([("cpu", cpu), ("billed", billed)]);
        if parts.is_empty() {
            return None;
        }
        let about = About {
            seq: identity.seq,
            span,
            offset_millis: self.delivery.offset_millis(),
            dropped: 0,
            outcome: outcome.map(str::to_owned),
            profiler: ProfilerNote { samples: half.samples.len() as u64, ..Default::default() },
        };
        Some(self.writer.close_as(identity, &self.settings, parts, &about, &log.mappings))
    }

    /// When it was, by the dead process's clocks. How much of the service a dead process stood
    /// for nobody noted; what this one's steering says of its boot comes close.
    fn span_of(
        &self,
        log: &DeadLog,
        half: &DeadHalf,
        window: &Window,
        identity: &Identity,
    ) -> Span {
        let anchor = log.notes.clocks.last().copied().unwrap_or(log.header.started);
        let times = || half.samples.iter().map(|sample| sample.head.at);
        let first = times().min().unwrap_or(anchor.mono);
        let last = times().max().unwrap_or(anchor.mono);
        Span {
            start: wall_of(first, anchor),
            end: wall_of(last, anchor),
            active: Duration::from_nanos(window.total()),
            invocations: window.invocations,
            cold: identity.seq == 0,
            weight: self.steered.share(&identity.boot).weight,
        }
    }
}

/// The invocation was killed at its deadline.
const TIMEOUT: &str = "timeout";

/// It ended in any other way: memory, a signal, an exit.
const KILLED: &str = "killed";

/// How the invocation under way ended; `None` if none was.
fn outcome_of(log: &DeadLog, half: &DeadHalf) -> Option<&'static str> {
    let invocation = log.notes.invocation.filter(|it| it.outcome == Outcome::Running)?;
    let anchor = log.notes.clocks.last().copied().unwrap_or(log.header.started);
    let sampled = half.samples.iter().map(|sample| sample.head.at).max().unwrap_or(0);
    let settled = log.notes.open_spans.map_or(0, |open| open.at);
    let seen = nanos_of(sampled.max(settled), anchor);
    let near = seen.saturating_add(SIGN_OF_LIFE.as_nanos() as u64) >= invocation.deadline;
    Some(if invocation.deadline > 0 && near { TIMEOUT } else { KILLED })
}

/// Wall nanoseconds of a monotonic moment, by an instant on both clocks.
fn nanos_of(mono: u64, anchor: Clock) -> u64 {
    match mono.checked_sub(anchor.mono) {
        Some(after) => anchor.wall.saturating_add(after),
        None => anchor.wall.saturating_sub(anchor.mono - mono),
    }
}

fn wall_of(mono: u64, anchor: Clock) -> UnixMillis {
    UnixMillis(i64::try_from(nanos_of(mono, anchor) / 1_000_000).unwrap_or(i64::MAX))
}

fn seq_of(closed: &Closed) -> Option<u64> {
    closed.key.parse::<SnapshotKey>().ok().map(|key| key.identity.seq)
}

/// What a dead process's numbers stood for.
struct Names<'l> {
    labels: HashMap<u32, &'l str>,
    spans: HashMap<u32, (u32, &'l str)>,
    threads: HashMap<u32, &'l str>,
}

impl<'l> Names<'l> {
    fn of(definitions: &'l [LoggedDefinition]) -> Self {
        let mut names =
            Self { labels: HashMap::new(), spans: HashMap::new(), threads: HashMap::new() };
        for LoggedDefinition { kind, id, parent, text } in definitions {
            match kind {
                DefinitionKind::Labels => drop(names.labels.insert(*id, text)),
                DefinitionKind::Span => drop(names.spans.insert(*id, (*parent, text))),
                DefinitionKind::Thread => drop(names.threads.insert(*id, text)),
            }
        }
        names
    }

    fn labels(&self, context: Context, tid: u32) -> Vec<(String, String)> {
        let mut labels = self.labels.get(&context.labels).map(|set| split(set)).unwrap_or_default();
        let span = self.path(context.span);
        if !span.is_empty() {
            labels.push((billed::SPAN_LABEL.to_owned(), span));
        }
        if let Some(thread) = self.threads.get(&tid) {
            labels.push(("thread".to_owned(), (*thread).to_owned()));
        }
        labels
    }

    fn path(&self, id: u32) -> String {
        let mut path = Vec::new();
        let mut at = id;
        while let Some((parent, name)) = self.spans.get(&at) {
            path.push(*name);
            // Parents are defined first; whatever the bytes say, this ends.
            if *parent >= at {
                break;
            }
            at = *parent;
        }
        path.reverse();
        path.join(";")
    }
}
