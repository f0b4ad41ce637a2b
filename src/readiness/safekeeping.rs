//! What readiness wants to know of backups, and to see done; `boot` supplies it, since they are made in a room beside.
use crate::{
    domain::{BackupStanding, Content, Fault},
    store::Store,
};
use futures_util::future::BoxFuture;
use std::path::PathBuf;

/// The code that makes, verifies and unpacks the daemon's own backups, for a scratch store and a scratch directory.
pub trait Safekeeping: Send + Sync {
    /// How the daemon's own backups stand.
    fn standing(&self) -> BoxFuture<'_, Result<BackupStanding, Fault>>;
    /// Makes one in `shelf`; where it lies, and what it promises to hold.
    fn make(&self, store: Store, shelf: PathBuf) -> BoxFuture<'_, Result<(PathBuf, Content), Fault>>;
    /// What is wrong with the only one in `shelf`.
    fn verify(&self, shelf: PathBuf) -> BoxFuture<'_, Result<Vec<String>, Fault>>;
    /// The only one in `shelf`, into a directory that is not there yet.
    fn unpack(&self, shelf: PathBuf, to: PathBuf) -> BoxFuture<'_, Result<(), Fault>>;
}
