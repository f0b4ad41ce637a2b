//! Failures: recorded once each where they end, free of secrets, counted exactly, grouped by what they have in common.
//!
//! A failure is recorded where nobody hands it on any more: at the answer to a request, at the end of an instance, at
//! the turn of a probe, at a task of the daemon that gives up. What is handed on to a caller is not recorded on the way.
mod failure;
mod panics;
mod pending;
mod record;
mod redactor;
#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use panics::{expecting_panics, hear_panics};
pub use record::Errors;
pub use redactor::Redactor;
