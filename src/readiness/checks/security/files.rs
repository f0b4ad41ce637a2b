//! Owner and mode of what the daemon keeps, and of every directory above it.
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Proof, proof::blocking},
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A path and the mode bits that it must not have.
struct Closed {
    path: PathBuf,
    what: &'static str,
    forbidden: u32,
    required: bool,
}

pub async fn closed(evidence: &Evidence) -> Found {
    let paths = &evidence.paths;
    let closed =
        |path: &Path, what, forbidden, required| Closed { path: path.to_owned(), what, forbidden, required };
    let beside = |suffix: &str| {
        let mut name = paths.database.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    // Behind the state directory, which is itself looked at, nobody reaches the logs whatever their own mode.
    let sheltered = paths.logs.starts_with(&paths.state_dir);
    let mut list = vec![
        closed(&paths.state_dir, "state directory", 0o077, true),
        closed(&paths.database, "database", 0o077, true),
        closed(&beside("-wal"), "write-ahead log", 0o077, false),
        closed(&beside("-shm"), "shared memory of the database", 0o077, false),
        closed(&paths.backups, "backups", 0o077, false),
        closed(&paths.logs, "logs", if sheltered { 0o022 } else { 0o027 }, false),
        // The group may be let in: access.socket_group.
        closed(&paths.runtime_dir, "runtime directory", 0o027, true),
        closed(&paths.socket, "socket", 0o007, true),
    ];
    if let Some(file) = &evidence.config_file {
        list.push(closed(&fs::canonicalize(file).unwrap_or_else(|_| file.clone()), "manifest", 0o022, true));
    }
    let plot = match evidence.ground.plot() {
        Ok(plot) => plot,
        Err(fault) => return fault.into(),
    };
    let looked = blocking(move || {
        let planted =
            plant(plot.path()).map_err(|error| Fault::internal(format!("cannot plant a file: {error}")))?;
        Ok((planted, inspect_all(&list)))
    })
    .await;
    match looked {
        Ok((planted, (seen, objections))) => judge_files(&planted, &seen, &objections),
        Err(fault) => fault.into(),
    }
}

/// What the same look says to a file and a directory that are open to everybody, and to a closed file.
struct Planted {
    open_file: Option<String>,
    open_dir: Option<String>,
    closed_file: Option<String>,
}

fn plant(dir: &Path) -> io::Result<Planted> {
    let file = |name: &str, mode| -> io::Result<Option<String>> {
        let path = dir.join(name);
        fs::write(&path, "planted")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(inspect(&path, 0o077).err())
    };
    let (open_file, closed_file) = (file("open", 0o666)?, file("closed", 0o600)?);
    let open = dir.join("open-dir");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    Ok(Planted { open_file, closed_file, open_dir: inspect_parent(&open).err() })
}

fn inspect_all(list: &[Closed]) -> (Vec<String>, Vec<String>) {
    let (mut seen, mut objections) = (Vec::new(), Vec::new());
    let mut parents: Vec<PathBuf> = Vec::new();
    for Closed { path, what, forbidden, required } in list {
        if !required && !path.exists() {
            continue;
        }
        match inspect(path, *forbidden) {
            Ok(line) => seen.push(format!("{what}: {line}")),
            Err(line) => objections.push(format!("{what}: {line}")),
        }
        let above = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        parents.extend(above.ancestors().skip(1).map(Path::to_owned));
    }
    parents.sort();
    parents.dedup();
    for parent in parents {
        match inspect_parent(&parent) {
            Ok(line) => seen.push(line),
            Err(line) => objections.push(line),
        }
    }
    (seen, objections)
}

/// Ours or root's, and without the forbidden bits. Err is the objection.
fn inspect(path: &Path, forbidden: u32) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
    let (mode, uid) = (meta.mode() & 0o7777, meta.uid());
    let line = format!("{} has mode {mode:04o} and belongs to uid {uid}", path.display());
    let own = rustix::process::geteuid().as_raw();
    if uid != own && uid != 0 {
        Err(format!("{line}, which is neither the daemon's {own} nor root"))
    } else if mode & forbidden != 0 {
        Err(format!("{line}; it must not have {:04o}", mode & forbidden))
    } else {
        Ok(line)
    }
}

/// Whoever can write a directory can swap what is in it, unless it is sticky.
fn inspect_parent(path: &Path) -> Result<String, String> {
    let sticky = fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o1000 != 0);
    inspect(path, if sticky { 0 } else { 0o022 })
}

fn judge_files(planted: &Planted, seen: &[String], objections: &[String]) -> Found {
    let mut proof = Proof::default();
    for (objection, must, what) in [
        (&planted.open_file, true, "a planted file with mode 0666"),
        (&planted.open_dir, true, "a planted directory with mode 0777"),
        (&planted.closed_file, false, "a planted file with mode 0600"),
    ] {
        proof.holds(
            objection.is_some() == must,
            format!("{what} {}", if objection.is_some() { "is objected to" } else { "is not objected to" }),
        );
    }
    for line in objections {
        proof.holds(false, line);
    }
    for line in seen {
        proof.holds(true, line);
    }
    if seen.is_empty() && objections.is_empty() {
        return Found::error("there was no file to look at");
    }
    proof.judge(format!("{} paths are closed to others", seen.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn an_open_file_is_found_and_a_look_that_objects_to_nothing_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let planted = plant(dir.path()).expect("planted");
        assert!(planted.open_file.is_some() && planted.open_dir.is_some() && planted.closed_file.is_none());
        let seen = vec!["database: closed".to_owned()];
        assert_eq!(judge_files(&planted, &seen, &[]).outcome, Outcome::Pass);
        assert_eq!(judge_files(&planted, &seen, &["database: mode 0644".into()]).outcome, Outcome::Fail);
        assert_eq!(judge_files(&planted, &[], &[]).outcome, Outcome::Error);
        let blind = Planted { open_file: None, open_dir: None, closed_file: None };
        assert_eq!(judge_files(&blind, &seen, &[]).outcome, Outcome::Fail);
    }

    #[test]
    fn a_missing_file_is_an_objection_and_a_missing_optional_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let absent =
            |required| Closed { path: dir.path().join("absent"), what: "socket", forbidden: 0o077, required };
        assert!(inspect_all(&[absent(true)]).1.iter().any(|line| line.starts_with("socket: cannot look")));
        assert!(!inspect_all(&[absent(false)]).1.iter().any(|line| line.starts_with("socket")));
    }
}
