//! The real binaries, run as an operator runs them.
mod generated;
mod support;
