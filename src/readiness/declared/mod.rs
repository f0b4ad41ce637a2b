//! Kinds of check that an operator declares in the manifest. Each parses its own `options`, once, and looks at the
//! application as it is. A new kind is one file and one line in `DECLARED`.
mod access;
mod attempt;
mod command;
mod cors;
mod env;
mod file;
mod git;
mod http;
mod kind;
mod port;
mod process;
mod rate_limit;
mod redis;
mod scene;
mod sql;
#[cfg(test)]
mod stage;
mod tcp;
mod tls;
mod variables;

pub use attempt::{ask, by_policy, declare, declared, infos};
pub use kind::{Ask, DeclaredKind, compile};
pub use scene::Scene;

/// Every kind there is, in the order that the documentation lists them.
pub const DECLARED: &[DeclaredKind] = &[
    DeclaredKind::of::<http::Http>(),
    DeclaredKind::of::<tcp::Tcp>(),
    DeclaredKind::of::<tls::Tls>(),
    DeclaredKind::of::<sql::Sql>(),
    DeclaredKind::of::<redis::Redis>(),
    DeclaredKind::of::<command::Command>(),
    DeclaredKind::of::<file::File>(),
    DeclaredKind::of::<env::Env>(),
    DeclaredKind::of::<port::Port>(),
    DeclaredKind::of::<process::Process>(),
    DeclaredKind::of::<variables::Variables>(),
    DeclaredKind::of::<access::Access>(),
    DeclaredKind::of::<rate_limit::RateLimit>(),
    DeclaredKind::of::<cors::Cors>(),
    DeclaredKind::of::<git::Git>(),
];
