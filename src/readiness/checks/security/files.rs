//! Owner and mode of what the daemon keeps, of its logs one by one, and of every directory and link above them.
use super::ownership::{Trusted, inspect, inspect_above, way_to};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::Paths,
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// How many lines of what is well are shown; objections are all shown, up to the same bound.
const SHOWN: usize = 40;
/// How many logs are looked at. Rotation keeps them few; more are said, and not passed over.
const LOGS: usize = 20_000;

/// A path and the mode bits that it must not have.
#[derive(Clone)]
struct Closed {
    path: PathBuf,
    what: &'static str,
    forbidden: u32,
    required: bool,
}

/// What was looked at: the lines of what is well, and the objections with what they are about.
#[derive(Default)]
struct Look {
    seen: Vec<String>,
    objections: Vec<(PathBuf, String)>,
}

pub async fn closed(evidence: &Evidence) -> Found {
    let list = of_daemon(&evidence.paths, evidence.config_file.as_deref());
    exercise(&evidence.ground, (list, look)).await
}

/// Looks at everything listed and at what leads there.
type Looker = fn(&[Closed]) -> Look;

async fn exercise(ground: &Ground, (list, look): (Vec<Closed>, Looker)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        blocking(move || {
            let planted = plant(plot.path(), look)
                .map_err(|error| Fault::internal(format!("cannot plant a file: {error}")))?;
            Ok(judge(planted, look(&list)))
        })
        .await
    };
    settle(exercise.await)
}

fn of_daemon(paths: &Paths, manifest: Option<&Path>) -> Vec<Closed> {
    let closed =
        |path: &Path, what, forbidden, required| Closed { path: path.to_owned(), what, forbidden, required };
    let beside = |suffix: &str| {
        let mut name = paths.database.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    // Behind the state directory, which is itself looked at, nobody reaches the logs whatever their own mode.
    let logs = if paths.logs.starts_with(&paths.state_dir) { 0o022 } else { 0o027 };
    let mut list = vec![
        closed(&paths.state_dir, "state directory", 0o077, true),
        closed(&paths.database, "database", 0o077, true),
        closed(&beside("-wal"), "write-ahead log", 0o077, false),
        closed(&beside("-shm"), "shared memory of the database", 0o077, false),
        closed(&paths.backups, "backups", 0o077, false),
        closed(&paths.fifos, "pipes of agents", 0o077, false),
        closed(&paths.logs, "logs", logs, false),
        closed(&paths.agent_logs, "logs of agents", logs, false),
        // The group may be let in: access.socket_group.
        closed(&paths.runtime_dir, "runtime directory", 0o027, true),
        closed(&paths.socket, "socket", 0o007, true),
        closed(
            paths.report_socket.parent().unwrap_or(&paths.runtime_dir),
            "directory of agents' socket",
            0o022,
            false,
        ),
    ];
    list.extend(manifest.map(|file| closed(file, "manifest", 0o022, true)));
    for dir in [&paths.logs, &paths.agent_logs] {
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        let files = files.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
        list.extend(files.take(LOGS).map(|entry| closed(&entry.path(), "log", logs, false)));
    }
    list
}

fn look(list: &[Closed]) -> Look {
    let trusted = Trusted::own();
    let mut look = Look::default();
    let (mut above, mut logs) = (BTreeSet::new(), 0);
    for Closed { path, what, forbidden, required } in list {
        let way = match way_to(path) {
            Ok(way) => way,
            Err(error) if !required && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let line = format!("{what}: cannot look at {}: {error}", path.display());
                look.objections.push((path.clone(), line));
                continue;
            }
        };
        let (end, leads) = way.split_last().map_or((path, &[][..]), |(end, leads)| (end, leads));
        match inspect(end, *forbidden, &trusted) {
            // They come and go by the hundred: counted, and named only when something is wrong.
            Ok(_) if *what == "log" => logs += 1,
            Ok(line) => look.seen.push(format!("{what}: {line}")),
            // Rotated away while it was looked at.
            Err(_) if !required && !end.exists() => {}
            Err(line) => look.objections.push((end.clone(), format!("{what}: {line}"))),
        }
        above.extend(leads.iter().cloned());
    }
    if logs > 0 {
        look.seen.push(format!("{logs} log files belong to the daemon and are closed to others"));
    }
    for path in above {
        match inspect_above(&path, &trusted) {
            Ok(line) => look.seen.push(line),
            Err(line) => look.objections.push((path, line)),
        }
    }
    look
}

/// What must be objected to, and what must not.
fn plant(dir: &Path, look: Looker) -> io::Result<Proof> {
    let path = |name: &str| dir.join(name);
    for (name, mode) in [("open", 0o666), ("closed", 0o600)] {
        fs::write(path(name), "planted")?;
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode))?;
    }
    fs::create_dir(path("open-dir"))?;
    fs::write(path("open-dir/file"), "planted")?;
    std::os::unix::fs::symlink("../closed", path("open-dir/link"))?;
    fs::set_permissions(path("open-dir/file"), fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(path("open-dir"), fs::Permissions::from_mode(0o777))?;
    let mut proof = Proof::default();
    for (name, what, objectionable) in [
        ("open", "a file with mode 0666", true),
        ("open-dir/file", "a closed file in a directory with mode 0777", true),
        ("open-dir/link", "a link in that directory to a closed file", true),
        ("absent", "a required file that is not there", true),
        ("closed", "a file with mode 0600", false),
    ] {
        let list = [Closed { path: path(name), what: "planted", forbidden: 0o077, required: true }];
        // What stands above the scratch directory is judged with the real ones.
        let objected = look(&list).objections.iter().any(|(about, _)| about.starts_with(dir));
        let did = if objected { "objected to" } else { "not objected to" };
        proof.holds(objected == objectionable, format!("planted: {what} is {did}"));
    }
    Ok(proof)
}

fn judge(mut proof: Proof, look: Look) -> Found {
    let Look { seen, objections } = look;
    if seen.is_empty() && objections.is_empty() {
        return Found::error("there was no file to look at");
    }
    for (_, line) in objections.iter().take(SHOWN) {
        proof.holds(false, line.as_str());
    }
    let (count, more) = (seen.len(), seen.len().saturating_sub(SHOWN));
    for line in seen.into_iter().take(SHOWN) {
        proof.holds(true, line);
    }
    let mut found = proof.judge(format!("{count} paths are closed to others"));
    if more > 0 {
        found = found.seen(format!("and {more} more that are closed"));
    }
    if objections.len() > SHOWN {
        found = found.seen(format!("and {} more that are not", objections.len() - SHOWN));
    }
    objections
        .into_iter()
        .fold(found, |found, (path, line)| found.about(format!("file/{}", path.display()), line))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-001",
    at_work: || {
        async {
            let home = tempfile::tempdir().expect("a directory");
            let state = |name: &str, dir: u32, log: u32, manifest: u32| {
                let state = home.path().join(name);
                let mut settings = crate::config::Settings::default();
                settings.daemon.state_dir = Some(state.clone());
                settings.daemon.socket = Some(state.join("run/agentd.sock"));
                let paths = Paths::new(&settings);
                fs::create_dir_all(&paths.agent_logs).expect("made");
                fs::create_dir_all(&paths.runtime_dir).expect("made");
                let write = |path: &Path, mode: u32| {
                    fs::write(path, "").expect("written");
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
                };
                write(&paths.database, 0o600);
                write(&paths.socket, 0o600);
                write(&paths.agent_logs.join("orders.0.log"), log);
                write(&state.join("agentd.toml"), manifest);
                let modes = [(&paths.runtime_dir, 0o700), (&state, dir)];
                for (path, mode) in modes {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
                }
                (of_daemon(&paths, Some(&state.join("agentd.toml"))), look as Looker)
            };
            let broken = [
                ("an open state directory", state("a", 0o755, 0o600, 0o600)),
                ("a log that others write", state("b", 0o700, 0o666, 0o600)),
                ("a manifest that others write", state("c", 0o700, 0o600, 0o646)),
                (
                    "a look that sees nothing",
                    (state("d", 0o700, 0o600, 0o600).0, |_| Look {
                        seen: vec!["all is well".into()],
                        ..Look::default()
                    }),
                ),
            ];
            tried(exercise, state("e", 0o700, 0o600, 0o644), broken).await
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_an_objection_and_a_missing_optional_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let absent = |required| {
            [Closed { path: dir.path().join("absent"), what: "socket", forbidden: 0o077, required }]
        };
        assert!(
            look(&absent(true)).objections.iter().any(|(_, line)| line.starts_with("socket: cannot look"))
        );
        assert!(look(&absent(false)).objections.is_empty());
        assert_eq!(judge(Proof::default(), Look::default()).outcome, crate::domain::Outcome::Error);
    }
}
