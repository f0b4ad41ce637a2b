//! Ctl: what every command is handed.
use super::{Client, ColorChoice, Credentials, Output, Ui};
use crate::{config::Paths, domain::Period};
use std::{path::PathBuf, time::Duration};

/// For an answer: longer than the daemon holds a long poll (25 s).
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags that every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Global {
    /// The daemon's socket [default: /run/agentd/agentd.sock for root, else $XDG_RUNTIME_DIR/agentd/agentd.sock]
    #[arg(long, global = true, env = "AGENTD_SOCKET", value_name = "PATH", hide_env_values = true)]
    pub socket: Option<PathBuf>,
    /// Output format
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
    /// Colour: auto, always or never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// Say nothing but data and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// A private file with the API key to be known by, instead of AGENTCTL_KEY or a session
    #[arg(long, global = true, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// How long to wait for the daemon's answer
    #[arg(long, global = true, value_name = "PERIOD")]
    pub timeout: Option<Period>,
}

pub struct Ctl {
    pub client: Client,
    /// Was the socket named, or is it the default?
    pub socket_named: bool,
    pub key_file: Option<PathBuf>,
    pub ui: Ui,
    pub output: Output,
    pub timeout: Option<Duration>,
}

impl Ctl {
    pub fn new(global: &Global) -> Self {
        let timeout = global.timeout.map(|period| period.0);
        let socket = global.socket.clone().unwrap_or_else(Paths::default_socket);
        let credentials = Credentials::Kept { key_file: global.key_file.clone(), socket: socket.clone() };
        Self {
            socket_named: global.socket.is_some(),
            key_file: global.key_file.clone(),
            client: Client::new(socket, timeout.unwrap_or(PATIENCE)).showing(credentials),
            ui: Ui::new(global.color, global.quiet),
            output: global.output,
            timeout,
        }
    }

    /// The same, asking another daemon, which knows none of our keys.
    #[must_use]
    pub fn at(&self, socket: PathBuf) -> Self {
        Self {
            client: Client::new(socket, self.timeout.unwrap_or(PATIENCE)),
            socket_named: true,
            key_file: None,
            ui: self.ui,
            output: self.output,
            timeout: self.timeout,
        }
    }
}
