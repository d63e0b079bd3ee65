//! The index Lambda: a thin shell over the pipeline.
