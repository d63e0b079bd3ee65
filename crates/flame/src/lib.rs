//! Views of a profile: the SVG flame graph, folded stacks.
