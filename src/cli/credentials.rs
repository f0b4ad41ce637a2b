//! What agentctl shows the daemon beside the kernel's word: a key from the environment or a private file, or else the
//! session that `auth login` keeps in one. Never from the command line, which everybody on the machine can read.
use super::CliError;
use crate::domain::{Fault, FaultKind};
use jiff::Timestamp;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// An API key, for scripts and services.
pub const KEY_VARIABLE: &str = "AGENTCTL_KEY";
/// A token has 66 bytes; who names another file by mistake should not have it read whole.
const LONGEST: u64 = 4096;

/// Where what is shown comes from. Nothing is read before it is needed.
#[derive(Clone)]
pub enum Credentials {
    /// The kernel's word stands alone.
    Nothing,
    /// A key if there is one, else the session for this socket if there is one.
    Kept { key_file: Option<PathBuf>, socket: PathBuf },
    /// A key if there is one.
    Key { key_file: Option<PathBuf> },
    /// The session for this socket if there is one.
    Session { socket: PathBuf },
    /// This one.
    Given { token: SecretString },
}

/// What is shown, and where it was.
pub struct Shown {
    pub token: SecretString,
    /// Of a session.
    pub session_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    schema_version: u32,
    socket: PathBuf,
    expires_at: Timestamp,
    token: String,
}

impl Credentials {
    pub fn shown(&self) -> Result<Option<Shown>, CliError> {
        let key = |key_file: &Option<PathBuf>| -> Result<Option<Shown>, CliError> {
            Ok(key(key_file.as_deref())?.map(|token| Shown { token, session_file: None }))
        };
        match self {
            Self::Nothing => Ok(None),
            Self::Given { token } => Ok(Some(Shown { token: token.clone(), session_file: None })),
            Self::Key { key_file } => key(key_file),
            Self::Session { socket } => session(socket),
            Self::Kept { key_file, socket } => match key(key_file)? {
                Some(shown) => Ok(Some(shown)),
                None => session(socket),
            },
        }
    }
}

/// Keeps a session for later commands to the same socket; returns where.
pub fn keep_session(socket: &Path, token: &SecretString, expires_at: Timestamp) -> Result<PathBuf, CliError> {
    let file = session_file(socket);
    let kept = Kept {
        schema_version: 1,
        socket: socket.to_owned(),
        expires_at,
        token: token.expose_secret().to_owned(),
    };
    let json = serde_json::to_vec_pretty(&kept).map_err(|error| CliError::Protocol(error.to_string()))?;
    let written = || -> io::Result<()> {
        let dir = file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut fresh = tempfile::Builder::new().prefix(".session-").tempfile_in(dir)?; // mode 0600
        fresh.write_all(&json)?;
        fresh.persist(&file).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| cannot("keep the session in", &file, &error.to_string()))?;
    Ok(file)
}

/// False if there was none.
pub fn forget_session(socket: &Path) -> Result<bool, CliError> {
    let file = session_file(socket);
    match fs::remove_file(&file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("remove", &file, &error.to_string())),
    }
}

/// Writes a new key where only its owner reads it; refuses to write over anything.
pub fn write_key(file: &Path, token: &SecretString) -> Result<(), CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    opened
        .and_then(|mut open| open.write_all(format!("{}\n", token.expose_secret()).as_bytes()))
        .map_err(|error| cannot("write", file, &error.to_string()))
}

/// Would `write_key` refuse? Asked before the key is made, which can be had only once.
pub fn may_write_key(file: &Path) -> Result<(), CliError> {
    if fs::symlink_metadata(file).is_ok() {
        return Err(cannot("write", file, "it exists"));
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(dir).map(drop).map_err(|error| cannot("write", file, &error.to_string()))
}

/// The whole of what stands before it, without a line's end.
pub fn read_token(mut from: impl Read) -> io::Result<SecretString> {
    let mut text = String::new();
    from.by_ref().take(LONGEST).read_to_string(&mut text)?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn key(file: Option<&Path>) -> Result<Option<SecretString>, CliError> {
    if let Some(file) = file {
        return private(file)
            .and_then(read_token)
            .map(Some)
            .map_err(|error| cannot("use the key in", file, &error.to_string()));
    }
    match env::var(KEY_VARIABLE) {
        Ok(key) if !key.is_empty() => Ok(Some(key.into())),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Fault::usage(format!("cannot read {KEY_VARIABLE}: it is no text")).into())
        }
    }
}

fn session(socket: &Path) -> Result<Option<Shown>, CliError> {
    let file = session_file(socket);
    let wrong = |why: &str| cannot("use the session in", &file, why);
    let text = match private(&file).and_then(read_token) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    // Its own words could repeat what is in the file.
    let kept: Kept = serde_json::from_str(text.expose_secret()).map_err(|_| wrong("it is damaged"))?;
    if kept.socket != socket {
        return Err(wrong("it is for another daemon"));
    }
    Ok(Some(Shown { token: kept.token.into(), session_file: Some(file) }))
}

/// A regular file that is ours alone. What others can read is no secret any more.
fn private(file: &Path) -> io::Result<File> {
    // A FIFO would hold us up until somebody writes to it.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let open = OpenOptions::new().read(true).custom_flags(nonblocking).open(file)?;
    let about = open.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    let wrong = if !about.is_file() {
        "it is no regular file"
    } else if about.uid() != own && about.uid() != 0 {
        "it belongs to somebody else"
    } else if about.mode() & 0o077 != 0 {
        "others may read or change it: chmod 600"
    } else {
        let flags = fcntl_getfl(&open)?;
        fcntl_setfl(&open, flags - OFlags::NONBLOCK)?;
        return Ok(open);
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, wrong))
}

/// One for each daemon, in the user's runtime directory, or else where state is kept.
fn session_file(socket: &Path) -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let base = set("XDG_RUNTIME_DIR")
        .or_else(|| set("XDG_STATE_HOME"))
        .unwrap_or_else(|| set("HOME").unwrap_or_else(env::temp_dir).join(".local/state"));
    // Readable, and of a bounded length; the file itself says which daemon it is for.
    let socket = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    let name = format!("{:016x}", fingerprint(socket.as_os_str().as_encoded_bytes()));
    base.join("agentctl").join(format!("session-{name}.json"))
}

/// FNV-1a: the same in every build, and nothing rests on it but the name of a file.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn cannot(what: &str, file: &Path, why: &str) -> CliError {
    Fault::new(FaultKind::Usage, format!("cannot {what} {}: {why}", file.display())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_read_from_a_private_file_and_from_no_other() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("key");
        let token = SecretString::from("agc_x");
        may_write_key(&file).expect("nothing is there");
        write_key(&file, &token).expect("written");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
        let read = key(Some(&file)).expect("read").expect("a key");
        assert_eq!(read.expose_secret(), "agc_x", "the line's end is no part of it");
        assert!(write_key(&file, &token).is_err() && may_write_key(&file).is_err(), "it was written over");
        for mode in [0o640, 0o604, 0o622] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("opened");
            let refused = key(Some(&file)).expect_err("others can read it").to_string();
            assert!(refused.contains("chmod 600") && !refused.contains("agc_x"), "{refused}");
        }
        assert!(key(Some(home.path())).is_err(), "a directory");
        assert!(key(Some(&home.path().join("none"))).is_err(), "one that was named must be there");
    }
}
