//! Where callers come in: the sockets, who may hold a connection, how long a connection may dally.
mod admission;
mod connection;
mod patience;
mod unix;

pub use admission::{Admission, Bounds};
pub use connection::{Answer, Payload, Reply, Server};
pub use unix::{Access, Bound};
