//! The files of what runs: the daemon's own program and libraries, and the programs that agents are started with.
use super::{
    ownership::{Trusted, inspect_above, way_to},
    trees,
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const SHOWN: usize = 30;

pub async fn closed(evidence: &Evidence) -> Found {
    let (settings, fleet) = (evidence.settings.clone(), evidence.fleet().clone());
    let listed = blocking(move || {
        let mut files = own()?;
        // What is in an agent's own directory is judged with that, since there the agent's uid counts as well.
        let trees = trees::of(&settings, &fleet);
        for (path, agents) in trees::programs(&settings) {
            if !trees.iter().any(|tree| path.starts_with(&tree.root)) {
                files.entry(path).or_default().extend(agents);
            }
        }
        Ok(files)
    });
    match listed.await {
        Ok(files) => exercise(&evidence.ground, (files, inspect)).await,
        Err(fault) => fault.into(),
    }
}

/// Each file, and who runs it.
type Files = BTreeMap<PathBuf, BTreeSet<String>>;
/// What is said of each path that leads to a file; Err is an objection.
type Inspector = fn(&Path) -> BTreeMap<PathBuf, Result<String, String>>;

async fn exercise(ground: &Ground, (files, inspect): (Files, Inspector)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        blocking(move || {
            let mut proof = Proof::default();
            for (name, mode, objectionable) in [("open", 0o777, true), ("closed", 0o755, false)] {
                let path = plot.path().join(name);
                fs::write(&path, "planted")
                    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
                    .map_err(|error| Fault::internal(format!("cannot plant a program: {error}")))?;
                let objected = !matches!(inspect(&path).remove(&path), Some(Ok(_)));
                let did = if objected { "objected to" } else { "not objected to" };
                proof.holds(
                    objected == objectionable,
                    format!("planted: a program with mode {mode:04o} is {did}"),
                );
            }
            Ok(judge(proof, &files, inspect))
        })
        .await
    };
    settle(exercise.await)
}

/// This process's program and what is mapped into it to be executed; and agentctl beside it, which agents are given.
fn own() -> Result<Files, Fault> {
    let cannot = |error: std::io::Error| Fault::internal(format!("cannot tell what runs: {error}"));
    let program = fs::read_link("/proc/self/exe").map_err(cannot)?;
    if !program.exists() {
        // Then the path is somebody else's by now, if anybody's.
        let message = format!(
            "cannot look at {}: it was replaced or removed since the daemon started",
            program.display()
        );
        return Err(Fault::internal(message).hint("restart the daemon"));
    }
    let maps = fs::read_to_string("/proc/self/maps").map_err(cannot)?;
    let mut files = Files::new();
    let mut add = |path: PathBuf| files.entry(path).or_default().extend(["agentd".to_owned()]);
    mapped(&maps).into_iter().for_each(&mut add);
    let beside = program.with_file_name("agentctl");
    add(program);
    add(env::current_exe().map_err(cannot)?);
    if beside.exists() {
        add(beside);
    }
    Ok(files)
}

/// `7f…-7f… r-xp 00000000 fe:00 123   /usr/lib/libc.so.6`: files that are mapped to be executed.
fn mapped(maps: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        let mut rest = line;
        let mut field = || {
            let (field, after) = rest.split_once(' ')?;
            rest = after;
            Some(field)
        };
        let (_range, rights) = (field()?, field()?);
        let (_offset, _device, _inode) = (field()?, field()?, field()?);
        let path = rest.trim_start();
        (rights.contains('x') && path.starts_with('/') && !path.ends_with(" (deleted)")).then(|| path.into())
    };
    maps.lines().filter_map(file).collect()
}

fn inspect(file: &Path) -> BTreeMap<PathBuf, Result<String, String>> {
    match way_to(file) {
        Ok(way) => {
            let trusted = Trusted::own();
            way.into_iter().map(|step| (step.clone(), inspect_above(&step, &trusted))).collect()
        }
        Err(error) => [(file.to_owned(), Err(format!("cannot look at {}: {error}", file.display())))].into(),
    }
}

fn judge(mut proof: Proof, files: &Files, inspect: Inspector) -> Found {
    let mut wrong: BTreeMap<PathBuf, (String, BTreeSet<&str>)> = BTreeMap::new();
    let mut well = BTreeMap::new();
    for (file, users) in files {
        for (path, said) in inspect(file) {
            match said {
                Ok(line) => drop(well.insert(path, line)),
                Err(line) => {
                    let users = users.iter().map(String::as_str);
                    wrong.entry(path).or_insert_with(|| (line, BTreeSet::new())).1.extend(users);
                }
            }
        }
    }
    for (line, users) in wrong.values().take(SHOWN) {
        let users: Vec<_> = users.iter().copied().take(5).collect();
        proof.holds(false, format!("{line} (runs: {})", users.join(", ")));
    }
    // Of what is well, the files alone: the directories above are many and the same.
    let ends =
        files.keys().filter_map(|file| well.get(&fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    for line in ends.take(SHOWN) {
        proof.holds(true, line.as_str());
    }
    let found = proof.judge(format!(
        "{} programs and libraries, and {} paths that lead there, are closed to others",
        files.len(),
        well.len()
    ));
    wrong
        .into_iter()
        .fold(found, |found, (path, (line, _))| found.about(format!("file/{}", path.display()), line))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-010",
    at_work: || {
        async {
            let home = tempfile::tempdir().expect("a directory");
            let program = |name: &str, dir: u32, mode: u32| {
                let bin = home.path().join(name);
                let path = bin.join("program");
                fs::create_dir(&bin).expect("made");
                fs::write(&path, "").expect("written");
                for (path, mode) in [(&path, mode), (&bin, dir)] {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
                }
                Files::from([(path, ["orders".to_owned()].into())])
            };
            let broken: [(_, (Files, Inspector)); 4] = [
                ("a program that others write", (program("a", 0o755, 0o757), inspect)),
                ("a directory of programs that others write", (program("b", 0o777, 0o755), inspect)),
                (
                    "a look that objects to nothing",
                    (program("c", 0o755, 0o755), |path| [(path.to_owned(), Ok("well".into()))].into()),
                ),
                (
                    "a look that objects to everything",
                    (program("d", 0o755, 0o755), |path| [(path.to_owned(), Err("wrong".into()))].into()),
                ),
            ];
            tried(exercise, (program("e", 0o755, 0o755), inspect as Inspector), broken).await
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_to_be_executed_is_found() {
        let maps = "1-2 r--p 0 fe:00 1   /lib/a b.so\n2-3 r-xp 0 fe:00 1    /lib/a b.so\n\
            3-4 rw-p 0 00:00 0 [heap]\n4-5 r-xp 0 00:00 0 [vdso]\n5-6 r-xp 0 fe:00 1 /gone (deleted)\n";
        assert_eq!(mapped(maps), [PathBuf::from("/lib/a b.so")]);
        let own = own().expect("files");
        assert!(own.keys().any(|path| *path == fs::read_link("/proc/self/exe").expect("a link")));
    }
}
