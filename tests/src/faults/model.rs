//! What was accepted, and what must become of it.

use std::collections::{BTreeMap, BTreeSet};

use flambeau_layout::{
    Fate, IdentityHash, Level, ParkReason, ProfileType, ServiceName, SnapshotKey, UnixMillis,
    Window,
};
use flambeau_query::Range;

use super::{Snapshot, held::Contents};

/// What must become of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// To be merged.
    Merged {
        /// When it ended, by the server's clock.
        end: UnixMillis,
        /// What it adds, per type.
        parts: BTreeMap<ProfileType, Part>,
        /// Entries of its zip to be parked.
        bad_entries: Vec<String>,
    },
    /// To be parked.
    Parked {
        /// Why.
        reason: ParkReason,
    },
}

impl Expected {
    /// Parked for this reason.
    #[must_use]
    pub fn parked(reason: ParkReason) -> Self {
        Self::Parked { reason }
    }
}

/// What one profile adds: one sample of this leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The leaf's name, of this snapshot alone.
    pub leaf: String,
    /// Its CPU nanoseconds.
    pub nanos: i64,
}

/// An object in the bucket.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) expected: Expected,
    /// `None` outside the layout.
    pub(super) key: Option<SnapshotKey>,
    /// When the bucket took it.
    pub(super) modified: UnixMillis,
}

impl Accepted {
    pub(super) fn window(&self) -> Option<Window> {
        match &self.expected {
            Expected::Merged { end, .. } => {
                Some(Window::of(Level::Minute, (*end).min(self.modified)))
            }
            Expected::Parked { .. } => None,
        }
    }
}

/// Counts and nanoseconds per leaf.
pub(super) type Leaves = BTreeMap<String, [i128; 2]>;

/// The model kept beside the store.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Objects by key.
    pub(super) objects: BTreeMap<String, Accepted>,
    /// Fates as first seen: they never change. With the object that got it.
    pub(super) fates: BTreeMap<IdentityHash, (Fate, String)>,
    /// What blocks were found to hold.
    pub(super) contents: Contents,
}

impl Model {
    /// Notes that the bucket took a snapshot at `modified`.
    pub fn accept(&mut self, snapshot: &Snapshot, modified: UnixMillis) {
        let key = snapshot.key.parse().ok();
        let accepted = Accepted { expected: snapshot.expected.clone(), key, modified };
        self.objects.entry(snapshot.key.clone()).or_insert(accepted);
    }

    /// Identities accepted, each with the objects that carry it.
    pub(super) fn identities(&self) -> BTreeMap<IdentityHash, Vec<String>> {
        let mut identities: BTreeMap<IdentityHash, Vec<String>> = BTreeMap::new();
        for (name, accepted) in &self.objects {
            if let Some(key) = &accepted.key {
                identities.entry(key.identity.hash()).or_default().push(name.clone());
            }
        }
        identities
    }

    /// Forgets all fates, as when the tables are lost: what was not marked gets
    /// another.
    pub fn forget_fates(&mut self) {
        self.fates.clear();
    }

    /// Keys of objects whose snapshot has no fate yet.
    #[must_use]
    pub fn queued(&self) -> Vec<String> {
        let open = |accepted: &Accepted| match &accepted.key {
            Some(key) => !self.fates.contains_key(&key.identity.hash()),
            None => false,
        };
        let queued = self.objects.iter().filter(|(_, accepted)| open(accepted));
        queued.map(|(name, _)| name.clone()).collect()
    }

    /// The (service, type) pairs of what was accepted to be merged.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<(ServiceName, ProfileType)> {
        let mut asked = BTreeSet::new();
        for accepted in self.objects.values() {
            if let (Some(key), Expected::Merged { parts, .. }) = (&accepted.key, &accepted.expected)
            {
                let service = &key.identity.service;
                asked.extend(parts.keys().map(|typ| (service.clone(), typ.clone())));
            }
        }
        asked
    }

    /// Windows in which a service was merged.
    #[must_use]
    pub fn windows(&self, service: &ServiceName) -> BTreeSet<Window> {
        self.merged()
            .filter(|(accepted, _)| {
                accepted.key.as_ref().is_some_and(|key| key.identity.service == *service)
            })
            .filter_map(|(accepted, _)| accepted.window())
            .collect()
    }

    /// What an exact answer holds: leaves of all merged snapshots of a service
    /// whose window lies in the range.
    pub(super) fn leaves(&self, service: &ServiceName, typ: &ProfileType, range: Range) -> Leaves {
        let mut leaves = Leaves::new();
        for (accepted, parts) in self.merged() {
            let ours = accepted.key.as_ref().is_some_and(|key| key.identity.service == *service);
            let inside = accepted.window().is_some_and(|w| w.lies_in(range.from, range.until));
            if let (true, true, Some(part)) = (ours, inside, parts.get(typ)) {
                let leaf = leaves.entry(part.leaf.clone()).or_default();
                leaf[0] += 1;
                leaf[1] += i128::from(part.nanos);
            }
        }
        leaves
    }

    fn merged(&self) -> impl Iterator<Item = (&Accepted, &BTreeMap<ProfileType, Part>)> {
        self.fates.values().filter_map(|(fate, key)| {
            let accepted = self.objects.get(key)?;
            match (fate, &accepted.expected) {
                (Fate::Block { .. }, Expected::Merged { parts, .. }) => Some((accepted, parts)),
                _ => None,
            }
        })
    }
}
