//! The render Lambda: HTTP to profiles, flame graphs and pages.
