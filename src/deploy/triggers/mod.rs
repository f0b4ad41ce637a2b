//! Triggers: what pauses or rolls back by itself, judged over recorded metrics and nothing else.
mod backtest;
mod fire;
mod history;
mod judge;
mod machine;
mod scene;
mod service;
#[cfg(test)]
mod tests;
mod watch;

pub use backtest::{Backtest, Backtested, WouldFire};
pub use judge::try_out;
pub use scene::{held, paused};
pub use service::{Triggers, TriggersParts};
