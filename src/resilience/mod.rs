//! Time and patience: what every wait in the daemon is made of. Knows nothing of what it protects.
mod backoff;
mod breaker;
mod budget;
mod bulkhead;
mod clock;
mod deadline;
pub mod durable;
mod failure;
mod limiter;
mod machine;
#[cfg(test)]
mod machine_tests;
mod policies;
mod policy;
#[cfg(test)]
mod policy_tests;
mod terms;
mod unserved;
mod window;

pub use backoff::{Backoff, Growth};
pub use breaker::{Breaker, BreakerKept, BreakerView, Permit, Tripped};
pub use budget::RetryBudget;
pub use bulkhead::{Bulkhead, Full, Place};
pub use clock::Clock;
pub use deadline::Deadline;
pub use failure::{Failing, Failure};
pub use limiter::{Limiter, Remaining, Wait};
pub use machine::{BreakerRules, Phase, Refused};
pub use policies::Policies;
pub use policy::{Policy, Served};
pub use terms::Terms;
pub use unserved::{Stopped, Trouble, Unserved};
