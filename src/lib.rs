//! `agentd` runs a fleet of AI agents and proves what it says of them; `agentctl` asks it.
//!
//! The rooms stand on floors: a room imports only rooms below its own. `tests/it/floors.rs` holds the table and
//! fails the build when a file reaches up.
//!
//! | floor | room | may import |
//! |---|---|---|
//! | 0 | `domain` | – |
//! | 0 | `protocol`, `config` | domain |
//! | 1 | `resilience` | – |
//! | 1 | `store` | domain, config, resilience |
//! | 2 | `auth` | domain, config, store, resilience |
//! | 2 | `errors` | domain, config, store, resilience |
//! | 2 | `operations` | domain, config, store, resilience, errors |
//! | 3 | `backups` | domain, config, store, resilience, errors |
//! | 3 | `agents` | domain, config, store, resilience, errors |
//! | 4 | `health` | domain, config, store, resilience, errors, agents |
//! | 5 | `readiness` | domain, config, store, resilience, auth, errors, agents, health |
//! | 5 | `metrics` | domain, config, store, resilience, errors, agents, health |
//! | 6 | `deploy` | domain, config, store, resilience, auth, errors, operations, backups, agents, health, readiness, metrics |
//! | 7 | `daemon` | all of the above, and protocol |
//! | 7 | `cli` | domain, protocol, config |
//! | 7 | `demo` | domain |
//! | 8 | `commands` | everything |
//! | 9 | `bin/*` | commands, daemon, cli, config |
#![deny(unsafe_code)] // one audited exception: `agents::child::exec`, what only a forked child can do
#![warn(clippy::pedantic)]
#![allow(
    clippy::missing_errors_doc,      // the error type says what can go wrong; prose repeats it
    clippy::must_use_candidate,      // noise on getters
    clippy::module_name_repetitions, // rooms re-export their nouns
    clippy::cast_precision_loss,     // counts and milliseconds become f64 only to be shown
    clippy::doc_markdown,            // product names are not identifiers
    clippy::needless_pass_by_value,  // handlers own their requests
    clippy::struct_excessive_bools,  // flags are flags
    clippy::duration_suboptimal_units, // 60 s reads as well as a minute
    clippy::similar_names,           // pid, ppid and pgid are the kernel's names
    clippy::naive_bytecount,         // a crate for counting newlines in 64 KiB would be one too many
    clippy::format_collect,
    clippy::format_push_string,      // text for people, a screen at most: reads better than write!
    clippy::unused_async,            // handlers and checks share one shape, whether they wait or not
    clippy::trivially_copy_pass_by_ref
)]

pub mod domain;
pub mod protocol;

pub mod config;

pub mod resilience;
pub mod store;

pub mod auth;
pub mod errors;
pub mod operations;

pub mod agents;
pub mod backups;

pub mod health;

pub mod metrics;
pub mod readiness;

pub mod deploy;

pub mod cli;
pub mod daemon;
pub mod demo;

pub mod commands;
