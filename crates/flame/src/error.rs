//! Why there is no view.

use crate::tree::NoNode;

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No stack has a value to draw.
    #[error("nothing to draw: no value of {0} is positive")]
    Nothing(String),
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
