//! The real binaries, run as an operator runs them.
mod access;
mod clients;
mod crash;
mod daemon;
mod databases;
mod fleet;
mod floors;
mod generated;
mod golden;
mod install;
mod python;
mod quickstart;
mod saboteurs;
mod support;
mod validate;
