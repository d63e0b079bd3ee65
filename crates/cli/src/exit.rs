//! Exit statuses; scripts may rely on them.

/// How a command ended. Misuse of the command line ends with 2 (by clap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All done.
    Ok = 0,
    /// It failed; standard error says why.
    Failed = 1,
    /// There was nothing to do or to check.
    Nothing = 3,
    /// Some of it was refused for good: parked snapshots.
    Parked = 4,
    /// What was compared differs.
    Differs = 5,
}
