//! API keys and sessions: what a bearer shows, who that makes the caller, and how they come and go.
mod keys;
mod recognise;
mod refusal;
mod ring;
mod sessions;
#[cfg(test)]
mod tests;

pub use keys::{KeyRequest, Rotation};
pub use refusal::{Refusal, Why};
pub use ring::Keyring;
