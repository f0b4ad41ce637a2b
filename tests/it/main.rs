//! The real binaries, run as an operator runs them.
mod access;
mod clients;
mod crash;
mod cron_and_ci;
mod daemon;
mod databases;
mod fleet;
mod floors;
mod generated;
mod golden;
mod install;
mod python;
mod quickstart;
mod reports;
mod support;
mod validate;
mod waivers;
