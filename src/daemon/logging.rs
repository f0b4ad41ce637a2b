//! tracing → a JSON line a record, a file a day, so many days; before a terminal also lines for people.
use crate::{
    config::LogSettings,
    domain::{Fault, FaultKind},
};
use std::{io::IsTerminal, panic, path::Path, sync::Arc};
use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Lines that may wait for the disk; more are dropped rather than holding the daemon up.
const BUFFERED_LINES: usize = 8192;

/// Where records go beside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Nowhere.
    Quiet,
    /// To stderr, if that is a terminal.
    Foreground,
}

/// Logging under way; what is buffered is written when it is dropped.
pub struct Logging {
    _guard: WorkerGuard,
    level: LevelSwitch,
}

/// Changes the level of a running daemon.
pub type LevelSwitch = Arc<dyn Fn(&str) -> Result<(), Fault> + Send + Sync>;

impl Logging {
    pub fn start(settings: &LogSettings, directory: &Path, voice: Voice) -> Result<Self, Fault> {
        let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter(&settings.level)?);
        let appender = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("agentd")
            .filename_suffix("log")
            .max_log_files(usize::try_from(settings.keep.max(1)).unwrap_or(usize::MAX))
            .build(directory)
            .map_err(|error| {
                Fault::new(
                    FaultKind::Config,
                    format!("cannot write the log in {}: {error}", directory.display()),
                )
                .hint("set `dir` under [daemon.log] to a directory that agentd may write")
            })?;
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(BUFFERED_LINES)
            .thread_name("log")
            .finish(appender);
        let file = fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer);
        let human = (voice == Voice::Foreground && std::io::stderr().is_terminal())
            .then(|| fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr).boxed());
        tracing_subscriber::registry()
            .with(filter)
            .with(file)
            .with(human)
            .try_init()
            .map_err(|error| Fault::internal(format!("cannot start logging: {error}")))?;
        panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string);
            let why = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(at, "panicked: {why}");
        }));
        let level: LevelSwitch = Arc::new(move |level| {
            handle
                .reload(self::filter(level)?)
                .map_err(|error| Fault::internal(format!("cannot change the log level: {error}")))
        });
        Ok(Self { _guard: guard, level })
    }

    pub fn level(&self) -> LevelSwitch {
        Arc::clone(&self.level)
    }
}

fn filter(level: &str) -> Result<EnvFilter, Fault> {
    EnvFilter::builder().parse(level).map_err(|error| {
        Fault::new(FaultKind::Config, format!("cannot log at `{}`: {error}", level.escape_debug()))
            .hint("write error, warn, info, debug or trace, or a filter such as info,agentctl::health=debug")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        for good in ["info", "warn", "info,agentctl::health=debug"] {
            filter(good).expect(good);
        }
        for bad in ["info,agentctl=loud", "a=b=c"] {
            let fault = filter(bad).expect_err(bad);
            assert_eq!(fault.kind, FaultKind::Config);
        }
    }
}
