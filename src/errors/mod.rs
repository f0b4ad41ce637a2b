//! Failures, recorded once each and grouped by what they have in common.
mod record;

pub use record::{Errors, Failure};
