//! What can be wrong with the demo agent: each fault one that was met in real fleets, chosen with `--fault`.
use std::{fmt, str::FromStr, time::Duration};

/// Why a start fails, with the words and the exit status that real programs leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Unknown,
    Import,
    Port,
    Config,
    Database,
    OutOfMemory,
}

impl Crash {
    const ALL: &'static [(&'static str, Self)] = &[
        ("unknown", Self::Unknown),
        ("import", Self::Import),
        ("port", Self::Port),
        ("config", Self::Config),
        ("database", Self::Database),
        ("oom", Self::OutOfMemory),
    ];

    /// What such a program prints to stderr as it dies.
    pub fn last_words(self) -> &'static str {
        match self {
            Self::Unknown => {
                "Traceback (most recent call last):\n  File \"agent.py\", line 41, in <module>\n    \
                              main()\nRuntimeError: the agent gave up"
            }
            Self::Import => {
                "Traceback (most recent call last):\n  File \"agent.py\", line 3, in <module>\n    \
                             import langgraph\nModuleNotFoundError: No module named 'langgraph'"
            }
            Self::Port => {
                "INFO:     Application startup complete.\nERROR:    [Errno 98] error while attempting to \
                           bind on address ('127.0.0.1', 8000): address already in use"
            }
            Self::Config => "configuration error: OPENAI_MODEL is not set",
            Self::Database => {
                "psycopg2.OperationalError: connection to server at \"127.0.0.1\", port 5432 failed: \
                               Connection refused\nERROR:    Application startup failed. Exiting."
            }
            Self::OutOfMemory => {
                "Traceback (most recent call last):\n  File \"agent.py\", line 88, in load\n    \
                                  cache = bytearray(size)\nMemoryError"
            }
        }
    }

    pub fn status(self) -> i32 {
        match self {
            Self::Config => 78,  // EX_CONFIG
            Self::Database => 3, // uvicorn's "startup failed"
            _ => 1,
        }
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, crash)| *crash).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!("`{}` is not a crash: choose one of {}", text.escape_debug(), names.join(", "))
        })
    }
}

/// One selectable fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    CrashAtStart(Crash),
    CrashAfter(Duration),
    /// Ends well, with status 0, although nobody asked.
    ExitAfter(Duration),
    SlowStart(Duration),
    IgnoreTerm,
    /// Leaves a grandchild in a session of its own that ignores TERM; `bare` clears its environment too.
    DoubleFork {
        bare: bool,
    },
    /// Lines of so many bytes to stdout and stderr, as fast as they are taken.
    Flood(usize),
    UnhealthyAfter(Duration),
    /// 200, with a body that says critical.
    LyingHealth,
    HangHealth,
    /// `/data` answers 500 while `/health` is green.
    DataFails,
    WrongName,
    /// So many bytes a second, touched and kept.
    Leak(usize),
    /// Never reads its stdin.
    NoRead,
    /// Answers with what is neither JSON nor HTTP.
    Garbage,
}

/// Every fault as it is written, for the refusal of a wrong one.
const WRITTEN: &str = "crash-at-start[=CLASS], crash-after=MS, exit-after=MS, slow-start=MS, ignore-term, \
                       double-fork[=bare], flood=BYTES, unhealthy-after=MS, lying-health, hang-health, data-fails, \
                       wrong-name, leak=BYTES, no-read, garbage";

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let number = || -> Result<u64, String> {
            let value = value.ok_or_else(|| format!("`{name}` needs a number: {name}=1000"))?;
            value.parse().map_err(|_| format!("`{}` is not a number", value.escape_debug()))
        };
        let size = || number().and_then(|n| usize::try_from(n).map_err(|_| format!("{n} is too large")));
        let after = || number().map(Duration::from_millis);
        let trouble = match name {
            "crash-at-start" => Self::CrashAtStart(value.map_or(Ok(Crash::Unknown), str::parse)?),
            "crash-after" => Self::CrashAfter(after()?),
            "exit-after" => Self::ExitAfter(after()?),
            "slow-start" => Self::SlowStart(after()?),
            "double-fork" if value == Some("bare") => Self::DoubleFork { bare: true },
            "flood" => Self::Flood(size()?),
            "unhealthy-after" => Self::UnhealthyAfter(after()?),
            "leak" => Self::Leak(size()?),
            _ if value.is_some() => return Err(unknown(text)),
            "ignore-term" => Self::IgnoreTerm,
            "double-fork" => Self::DoubleFork { bare: false },
            "lying-health" => Self::LyingHealth,
            "hang-health" => Self::HangHealth,
            "data-fails" => Self::DataFails,
            "wrong-name" => Self::WrongName,
            "no-read" => Self::NoRead,
            "garbage" => Self::Garbage,
            _ => return Err(unknown(text)),
        };
        Ok(trouble)
    }
}

fn unknown(text: &str) -> String {
    format!("`{}` is not a fault: choose from {WRITTEN}", text.escape_debug())
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, crash)| crash == self).map_or("unknown", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_written_and_nothing_else_is_one() {
        assert_eq!("crash-at-start=import".parse(), Ok(Trouble::CrashAtStart(Crash::Import)));
        assert_eq!("crash-at-start".parse(), Ok(Trouble::CrashAtStart(Crash::Unknown)));
        assert_eq!("slow-start=250".parse(), Ok(Trouble::SlowStart(Duration::from_millis(250))));
        assert_eq!("double-fork=bare".parse(), Ok(Trouble::DoubleFork { bare: true }));
        for bad in ["", "crash", "crash-at-start=weather", "flood", "flood=-1", "leak=many", "garbage=1"] {
            assert!(bad.parse::<Trouble>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn every_crash_reads_back_as_printed_and_ends_badly() {
        for (name, crash) in Crash::ALL {
            assert_eq!(crash.to_string().parse(), Ok(*crash));
            assert_eq!(&crash.to_string(), name);
            assert_ne!(crash.status(), 0);
        }
    }
}
