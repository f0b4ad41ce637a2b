//! Who listens on a port: from /proc/net/tcp{,6} to the socket's inode to the process that holds it.
use std::io;

/// A process that listens on a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub pgid: i32,
    /// Its command line, cut to 200 characters; untrusted text.
    pub command: String,
}

/// Everyone who listens on this port, on any local address. Empty when nobody does; a holder that we may not look
/// into (another user's) is left out, so ask `is_listening` too.
pub fn holders(_port: u16) -> io::Result<Vec<Holder>> {
    todo!()
}

/// Does anything listen on this port?
pub fn is_listening(_port: u16) -> io::Result<bool> {
    todo!()
}
