//! The read path: selector and range to a merged profile.
