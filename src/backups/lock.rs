//! Where the key to encrypted backups comes from, and what is said when it does not fit.
use super::seal::{Key, Opened, WrongKey};
use crate::{
    config::{self, BackupSettings},
    domain::{BackupManifest, EncryptedBy, Fault, FaultKind},
};
use secrecy::ExposeSecret;
use std::path::Path;

/// The key that is at hand, if any; it has no `Debug`.
#[derive(Clone, Default)]
pub struct Lock(Option<Key>);

impl Lock {
    /// Follows the reference, or reads the file, that the settings name.
    pub async fn of(settings: &BackupSettings) -> Result<Self, Fault> {
        Self::from(settings.passphrase.as_deref(), settings.key_file.as_deref()).await
    }

    pub async fn from(passphrase: Option<&str>, key_file: Option<&Path>) -> Result<Self, Fault> {
        if let Some(reference) = passphrase {
            let secret = config::resolve(reference).await?;
            return Ok(Self(Some(Key::passphrase(secret.expose_secret()))));
        }
        let Some(path) = key_file else { return Ok(Self(None)) };
        let cannot = |why: &str| {
            Fault::new(
                FaultKind::Config,
                format!("cannot read the key of backups, {}: {why}", path.display()),
            )
            .hint("`head -c 32 /dev/urandom > FILE` makes one; keep a copy of it where the backups are not")
        };
        let bytes = tokio::fs::read(path).await.map_err(|error| cannot(&error.to_string()))?;
        Key::file(bytes).map(|key| Self(Some(key))).ok_or_else(|| cannot("it holds less than 32 bytes"))
    }

    /// For backups of scratch stores, which nobody wants to read: a key file's worth of zeros.
    pub fn scratch() -> Self {
        Self(Key::file(vec![0; 32]))
    }

    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// For a new backup; none where they are not encrypted. Blocks.
    pub(super) fn fresh(&self) -> Result<Option<Opened>, Fault> {
        let fresh = self.0.as_ref().map(Key::fresh).transpose();
        fresh.map_err(|error| Fault::internal(format!("cannot make a key for a backup: {error}")))
    }

    /// For one that is there; none where it is not encrypted. Blocks.
    pub(super) fn open(&self, manifest: &BackupManifest) -> Result<Option<Opened>, Fault> {
        let Some(terms) = &manifest.encryption else { return Ok(None) };
        let id = &manifest.id;
        let cannot = |why: &str| Fault::new(FaultKind::Config, format!("cannot open backup {id}: {why}"));
        let kind = |by| match by {
            EncryptedBy::Passphrase => "a passphrase",
            EncryptedBy::KeyFile => "a key file",
        };
        let Some(key) = &self.0 else {
            return Err(cannot(&format!("it is encrypted with {}, and none is at hand", kind(terms.by)))
                .hint("set `passphrase` or `key_file` under [backups]; offline, give --passphrase or --key-file"));
        };
        let opened = key.open(terms).map_err(|wrong| match wrong {
            WrongKey::Kind(by) => cannot(&format!("it was encrypted with {}", kind(by))).hint(
                "set the other of `passphrase` and `key_file`; a backup keeps the lock it was made with",
            ),
            WrongKey::Secret(EncryptedBy::Passphrase) => {
                cannot("the passphrase is not the one it was made with")
                    .hint("a backup keeps the passphrase that it was made with: give that one")
            }
            WrongKey::Secret(EncryptedBy::KeyFile) => cannot("the key file is not the one it was made with")
                .hint("a backup keeps the key that it was made with: give that one"),
            WrongKey::Terms => cannot("what it says of its key makes no sense: its manifest was changed"),
        })?;
        Ok(Some(opened))
    }
}
