//! The real binaries, run as an operator runs them.
mod access;
mod fleet;
mod floors;
mod generated;
mod support;
