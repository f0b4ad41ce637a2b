//! What the end-to-end tests stand on: a real daemon of their own, the real client, and words without times in them.
mod ctl;
mod daemon;
mod redact;

pub use ctl::{Answer, agentctl, agentctl_bin};
pub use daemon::{Daemon, eventually};
pub use redact::redact;
