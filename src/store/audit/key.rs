//! The key of the chain: made at the first start, in a file of mode 0600 beside the database and never inside it.
use super::chain::AuditKey;
use crate::{
    domain::Digest,
    resilience::durable,
    store::{StoreError, StoreErrorKind, error::Result},
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Reads it; makes it if there is none. Others never read it: a wider mode is narrowed, and the log says so.
pub fn open(path: &Path) -> Result<AuditKey> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| unusable("make", path, &error))?;
            read(path).map_err(|error| unusable("read", path, &error))
        }
        Ok(key) => Ok(key),
        Err(error) => Err(unusable("read", path, &error)),
    }
}

/// For who only looks: nothing is made or changed.
pub fn look(path: &Path) -> Result<AuditKey> {
    let file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path);
    file.and_then(parse).map_err(|error| unusable("read", path, &error))
}

/// A link in its place is nobody's key.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn read(path: &Path) -> io::Result<AuditKey> {
    let file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
        tracing::warn!(path = %path.display(), "the key of the audit trail was open to others; narrowed to 0600");
    }
    parse(file)
}

fn parse(file: File) -> io::Result<AuditKey> {
    let mut text = String::new();
    file.take(100).read_to_string(&mut text)?;
    let secret: Digest =
        text.trim_end().parse().map_err(|_| io::Error::other("it does not hold 64 hexadecimal digits"))?;
    Ok(AuditKey::new(&secret.0))
}

fn make(path: &Path) -> io::Result<()> {
    let mut secret = Digest::default();
    SystemRandom::new()
        .fill(&mut secret.0)
        .map_err(|_| io::Error::other("the kernel gives no random bytes"))?;
    durable::replace(path, format!("{secret}\n").as_bytes())
}

fn unusable(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unusable,
        format!("cannot {what} the key of the audit trail, {}: {error}", path.display()),
    )
    .hint(
        "put it back from your backup of it; moved away, a new one is made, and rows written with the old one no \
         longer verify",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_is_made_once_for_its_owner_alone_and_a_spoilt_one_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("audit.key");
        let same = |one: &AuditKey, other: &AuditKey| one.mac(b"x", &[]) == other.mac(b"x", &[]);
        assert!(look(&path).is_err() && !path.exists(), "a look made it");
        let made = open(&path).map_err(|error| error.message).expect("made");
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("widened");
        let again = open(&path).map_err(|error| error.message).expect("opened");
        assert!(same(&made, &again) && mode() == 0o600);
        for spoilt in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
            fs::write(&path, spoilt).expect("written");
            let error = open(&path).err().expect("refused");
            assert!(error.kind == StoreErrorKind::Unusable && error.hint.is_some(), "{error:?}");
            assert_eq!(fs::read_to_string(&path).expect("read"), spoilt, "it was replaced");
        }
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(home.path().join("elsewhere"), &path).expect("a link");
        assert!(open(&path).is_err(), "a link was followed");
    }
}
