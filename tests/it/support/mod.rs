//! What the end-to-end tests stand on: a real daemon of their own, the real client, and words without times in them.
mod ctl;
mod redact;

pub use ctl::agentctl;
