//! The command line of `agentctl backup`.
use crate::domain::BackupId;
use std::path::PathBuf;

/// Copies of the daemon's state: make, verify and try them out; unpack one when it is needed.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(clap::Subcommand, Debug)]
pub enum Action {
    /// Make one now, while everything runs, and verify it
    Create {
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// List those that there are
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        offline: Offline,
    },
    /// Show one: what is in it, what is not, how it was verified and tried out
    Show {
        #[arg(value_name = "BACKUP")]
        id: BackupId,
    },
    /// Read one from end to end and hold it against what it was when it was made
    Verify {
        #[arg(value_name = "BACKUP")]
        id: BackupId,
        #[command(flatten)]
        offline: Offline,
    },
    /// Unpack one into a directory of its own; the running state is not touched
    Restore {
        #[arg(value_name = "BACKUP")]
        id: BackupId,
        /// A directory that is not there yet
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        offline: Offline,
    },
    /// Restore one to scratch, compare it, and record how old it was and how long that took
    Drill {
        /// Default: the newest that is sound
        #[arg(value_name = "BACKUP", conflicts_with = "list")]
        id: Option<BackupId>,
        /// The drills that were held, the newest first
        #[arg(long)]
        list: bool,
    },
    /// Delete one
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(value_name = "BACKUP")]
        id: BackupId,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Without a daemon.
#[derive(clap::Args, Clone, Debug)]
pub struct Offline {
    /// Where backups lie (`backups` in a state directory, or `dir` of [backups]): asks no daemon
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// With --from: what they were encrypted with, as env:NAME, file:PATH or exec:PROGRAM
    #[arg(long, value_name = "REFERENCE", requires = "from", conflicts_with = "key_file")]
    pub passphrase: Option<String>,
    /// With --from: the file of the key that they were encrypted with
    #[arg(long, value_name = "FILE", requires = "from")]
    pub key_file: Option<PathBuf>,
}
