//! The merge Lambda: a thin shell over the pipeline.
