//! A daemon of one's own in a directory of its own, gone afterwards: for quickstart and for `validate --ephemeral`.
mod fleet;
mod rise;
mod traces;

pub use fleet::{Fleet, Manifest};
pub use rise::{come_up, instances, ready};
