//! What stories need: profiles whose totals are known, a stack to run them on,
//! the command to kill.

pub mod ask;
pub mod command;
pub mod faults;
pub mod gallery;
pub mod judge;
pub mod profiles;
pub mod stack;
