//! Why there is no view.

use crate::tree::NoNode;

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No stack has a value to draw.
    #[error("nothing to draw: no value of {0} is positive")]
    Nothing(String),
    /// No sample says when it was taken.
    #[error("no sample carries time: there is nothing to lay along it")]
    Untimed,
    /// A trace too long to draw.
    #[error("the trace takes {seconds} s, more than the {most} that are drawn; push it in parts")]
    TooLong {
        /// How long it takes.
        seconds: i64,
        /// How long it may.
        most: i64,
    },
    /// The node asked for is not there.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// It could not be written.
    #[error("view could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// It could not be written as JSON.
    #[error("view could not be written: {0}")]
    Json(#[from] serde_json::Error),
}
