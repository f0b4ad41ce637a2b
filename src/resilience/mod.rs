//! Time and patience: what every wait in the daemon is made of. Knows nothing of what it protects.
mod backoff;
mod clock;
mod limiter;

pub use backoff::Backoff;
pub use clock::Clock;
pub use limiter::{Limiter, Remaining, Wait};
