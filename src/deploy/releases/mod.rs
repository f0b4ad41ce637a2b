//! Releases: recorded, kept, verified, compared, switched between.
mod copy;
mod create;
mod diff;
mod gather;
mod intake;
mod listing;
mod prepared;
mod record;
mod retire;
mod revision;
mod service;
mod switch;
#[cfg(test)]
mod switch_tests;
#[cfg(test)]
mod tests;
mod tree;

pub use copy::Copied;
pub(super) use copy::remove;
pub use create::{Creation, Preview};
pub use diff::{AgentChange, AgentDiff, ReleaseDiff};
pub use gather::{Fresh, Reread};
pub(super) use listing::sha256;
pub(super) use record::CONFIG;
pub use record::Verification;
pub use service::{ReleaseEntry, Releases, ReleasesParts};
pub use switch::Before;
