//! The real binaries, run as an operator runs them.
mod access;
mod crash;
mod databases;
mod fleet;
mod floors;
mod generated;
mod install;
mod python;
mod quickstart;
mod support;
