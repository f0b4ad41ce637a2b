//! What can go wrong, as every room and the wire speak of it: the sentence, its nature, and what makes two alike.
mod nature;
mod pattern;
mod said;

pub use nature::{FaultCategory, FaultKind, FaultSeverity, Nature};
pub use pattern::{Fingerprint, pattern};
pub use said::Fault;
