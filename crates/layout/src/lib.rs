//! Names and stored formats: keys, rows, block metadata.
