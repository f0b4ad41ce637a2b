//! Kinds of probe. Each parses its own `options`, once, and then answers what it sees.
//! A new kind is one file and one line in `PROBES`.
mod asker;
mod exec;
mod heartbeat;
mod http;
mod kind;
mod postgres;
mod process;
mod redis;
mod sqlite;
mod tcp;

pub use asker::{Asker, Head};
pub use kind::{Ask, Probe, ProbeKind, Seen, compile};
pub use postgres::inspect_postgres;

/// Every kind there is, in the order that the documentation lists them.
pub const PROBES: &[ProbeKind] = &[
    ProbeKind::of::<http::Http>(),
    ProbeKind::of::<tcp::Tcp>(),
    ProbeKind::of::<exec::Exec>(),
    ProbeKind::of::<process::Process>(),
    ProbeKind::of::<heartbeat::Heartbeat>(),
    ProbeKind::of::<sqlite::Sqlite>(),
    ProbeKind::of::<postgres::Postgres>(),
    ProbeKind::of::<redis::Redis>(),
];
