//! The pprof model: decode, validate, encode, merge.
