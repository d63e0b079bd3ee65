//! Names and stored formats: snapshot and block keys, row keys, block
//! metadata, versions.
//!
//! Every name that is stored has one type here, with one [`Display`] and one
//! [`FromStr`], and parsing is the exact inverse of printing: a string that
//! would not be printed again letter by letter is refused. So two spellings
//! can never mean one thing, and nothing escapes its prefix.
//!
//! The room knows neither AWS nor the clock: times are passed in.
//!
//! [`Display`]: std::fmt::Display
//! [`FromStr`]: std::str::FromStr

pub mod archive;
pub mod block;
pub mod catalogue;
pub mod claim;
pub mod environment;
pub mod ids;
pub mod implied;
pub mod lifetime;
pub mod mark;
pub mod name;
pub mod note;
pub mod object;
pub mod parked;
pub mod snapshot;
pub mod sort_key;
pub mod steering;
pub mod time;
pub mod timeline;

pub use block::{Activity, Arrivals, BlockRow, LabelSet, Point, RowState, Total, Trace, TypePart};
pub use catalogue::ServiceEntry;
pub use claim::{ClaimRow, Fate};
pub use ids::{BlockId, BootId, EnvId, Identity, IdentityHash, SegmentId};
pub use implied::implied_type;
pub use mark::CommitMark;
pub use name::{LayoutError, ProfileType, ServiceName, TenantId};
pub use note::{BlockNote, Note, NoteError, ProfilerNote, SnapshotNote};
pub use object::{MergedKey, ObjectRange, SegmentKey};
pub use parked::{ParkReason, ParkedKey, ParkedNote};
pub use snapshot::{SnapshotKey, SnapshotShape};
pub use sort_key::SortKey;
pub use steering::{Steering, SteeringError, SteeringKey};
pub use time::{KeyDate, Level, UnixMillis, Window};

/// Version of everything stored: notes, rows, claims. A reader refuses what is
/// newer than itself instead of guessing.
pub const FORMAT_VERSION: u32 = 1;
