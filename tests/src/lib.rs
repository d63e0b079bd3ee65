//! Stories across rooms, on the embedded stack and on independent servers.
