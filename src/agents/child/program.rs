//! Finds the program in the child's own PATH before anything is forked, so that a missing one is named plainly.
use super::SpawnSpec;
use crate::domain::{Fault, FaultKind};
use rustix::fs::{Access, AtFlags, CWD};
use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What execvp searches when there is no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The file to execute. Names without a slash are looked for in the PATH of the specification's environment.
pub(super) fn locate(spec: &SpawnSpec) -> Result<PathBuf, Fault> {
    let name = spec.argv.first().map(String::as_str).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Fault::new(
            FaultKind::Config,
            format!("cannot start {}: it names no program", spec.instance),
        ));
    };
    if let Some(workdir) = spec.workdir.as_deref().filter(|workdir| !workdir.is_dir()) {
        let message =
            format!("cannot start {}: its workdir {} is not a directory", spec.instance, workdir.display());
        return Err(
            Fault::new(FaultKind::Config, message).hint("make the directory, or mend options.workdir")
        );
    }
    // Relative paths mean what they will mean in the child.
    let here = spec.workdir.as_deref().unwrap_or(Path::new("."));
    if name.contains('/') {
        let path = absolute(&here.join(name));
        return executable(&path).map(|()| path.clone()).map_err(|error| unusable(spec, &path, &error));
    }
    let search = spec.environment.iter().rev().find(|(key, _)| key == "PATH");
    let search = search.map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value.as_os_str());
    let mut refused = None;
    for directory in search.as_bytes().split(|byte| *byte == b':') {
        let path = absolute(&here.join(OsStr::from_bytes(directory)).join(name));
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = Some((path, error)),
            Err(_) => {}
        }
    }
    Err(match refused {
        Some((path, error)) => unusable(spec, &path, &error),
        None => Fault::not_found(format!(
            "cannot start {}: there is no program `{}` in its PATH ({})",
            spec.instance,
            name.escape_debug(),
            search.to_string_lossy().escape_debug()
        ))
        .hint("give the full path in options.command, or set PATH in options.env"),
    })
}

/// The fault of a program that the kernel refused to execute.
pub(super) fn unusable(spec: &SpawnSpec, path: &Path, error: &io::Error) -> Fault {
    let shown = path.display().to_string();
    let shown = shown.escape_debug();
    match error.kind() {
        io::ErrorKind::NotFound if !path.exists() => {
            Fault::not_found(format!("cannot start {}: there is no program {shown}", spec.instance))
        }
        // The file is there: what is missing is the interpreter of its first line, or its loader.
        io::ErrorKind::NotFound => Fault::new(
            FaultKind::Config,
            format!("cannot start {}: {shown} names an interpreter that is not there", spec.instance),
        )
        .hint("look at its first line (#!) with: head -1"),
        io::ErrorKind::PermissionDenied => Fault::new(
            FaultKind::Config,
            format!("cannot start {}: {shown} may not be executed", spec.instance),
        )
        .hint("chmod +x it, and see that the agent's user may reach it"),
        _ => Fault::new(FaultKind::Config, format!("cannot start {}: {shown}: {error}", spec.instance)),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn executable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}
