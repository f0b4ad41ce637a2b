//! Time and patience: what every wait in the daemon is made of. Knows nothing of what it protects.
mod backoff;
mod clock;

pub use backoff::Backoff;
pub use clock::Clock;
