//! A year of traffic against the real plan code.
//!
//! One function of each of ten traffic shapes ([`shape::SHAPES`]) lives through
//! the time asked for, minute by minute. What decides is the code that runs on
//! AWS: the chunk rule of merge, the plan of compaction, the lifetimes, the
//! reader's reads and count. What is simulated is around it: the queue's
//! batches ([`fleet`]), the rows ([`table`]), and what T1 and T2 do with them.
//! Rows weigh what the encoder makes of them ([`weigh`]).
//!
//! Each answer is held against the sum of what was merged, so a year of this is
//! also a year of the protocol. What is modelled and not measured on AWS is
//! said in `docs/scale.md`.

pub mod ask;
pub mod budget;
mod compact;
pub mod fleet;
pub mod ledger;
pub mod life;
pub mod reading;
pub mod report;
pub mod shape;
pub mod table;
pub mod weigh;
