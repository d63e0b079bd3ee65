//! The fault harness: the proof that nothing is lost or doubled.
//!
//! [`Faults`] sits in the store's seam and makes chosen effects fail, happen
//! twice, wait, or be the worker's last. [`Model`] knows beside the store what
//! was accepted and what must become of it; [`check`] compares the two, by
//! claims, by rows and by the merged profiles themselves. [`Stores`] are the
//! embedded S3 and DynamoDB without a pump, so that a story delivers what it
//! likes, when it likes. A [`Wire`] is a door in front of both, where
//! [`Troubles`] refuse, tear and lose answers, and a [`Veil`] shows transactions
//! item by item.

mod check;
mod fates;
mod held;
mod model;
mod proxy;
mod seam;
mod snapshot;
mod stores;
mod troubles;
mod veil;

pub use check::{Checked, check, check_range, check_range_at, check_read_at, check_settled};
pub use fates::learn;
pub use flambeau_random::Random;
pub use held::check_objects;
pub use model::{Expected, Model, Part};
pub use proxy::Wire;
pub use seam::{Between, Faults, Outcome, Rates};
pub use snapshot::Snapshot;
pub use stores::{Stores, deliver, deliver_at, merge_options};
pub use troubles::Troubles;
pub use veil::Veil;
