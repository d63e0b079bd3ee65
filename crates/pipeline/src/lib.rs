//! The write path as verbs: a pure plan first, then its effects.
