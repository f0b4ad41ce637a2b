//! What both processes agree on: endpoints, how a long one is followed, the version header.
mod endpoint;
mod version;
mod watch;

pub use endpoint::{Endpoint, Streamed, Verb, path};
pub use version::{PROTOCOL, PROTOCOL_HEADER};
pub use watch::Followed;
