//! Another database in the place of the live one, while nobody has either open: proposed by a running daemon, carried out
//! at the next start before the store is opened. A file beside the database says how far it is; at every moment in
//! between, that file and which others exist tell what is left to do.
mod crash;
mod marker;
mod place;
mod propose;
#[cfg(test)]
mod tests;

pub use marker::{Phase, Replacement};
pub use propose::{Replacing, needed};
