//! Agents' directories: nobody but the operator and the agent itself may change what it runs from.
use super::{
    ownership::{Trusted, inspect_above, way_to},
    trees::{self, Tree},
};
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Evidence, Found, Ground, Proof, check::settle, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt, path::Path};

const SHOWN: usize = 40;

pub async fn closed(evidence: &Evidence) -> Found {
    let (settings, fleet) = (evidence.settings.clone(), evidence.fleet().clone());
    match blocking(move || Ok(trees::of(&settings, &fleet))).await {
        Ok(trees) => exercise(&evidence.ground, (trees, inspect_tree)).await,
        Err(fault) => fault.into(),
    }
}

/// What is said of each path that leads to a tree; Err is an objection.
type Inspector = fn(&Tree) -> BTreeMap<String, Result<String, String>>;

async fn exercise(ground: &Ground, (trees, inspect): (Vec<Tree>, Inspector)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        blocking(move || {
            let proof = plant(plot.path(), inspect)
                .map_err(|error| Fault::internal(format!("cannot plant a directory: {error}")))?;
            Ok(judge(proof, &trees, inspect))
        })
        .await
    };
    settle(exercise.await)
}

fn inspect_tree(tree: &Tree) -> BTreeMap<String, Result<String, String>> {
    let operator = Trusted::own();
    let agent = tree.uids.iter().fold(operator.clone(), |trusted, uid| trusted.and(*uid));
    let mut found = BTreeMap::new();
    for end in std::iter::once(&tree.root).chain(&tree.programs) {
        let way = match way_to(end) {
            Ok(way) => way,
            Err(error) => {
                let line = format!("cannot look at {}: {error}", end.display());
                found.insert(end.display().to_string(), Err(line));
                continue;
            }
        };
        for step in way {
            // Below its root the agent may have what is its own; above, only the operator has anything.
            let trusted = if step.starts_with(&tree.root) { &agent } else { &operator };
            found.insert(step.display().to_string(), inspect_above(&step, trusted));
        }
    }
    found
}

fn plant(dir: &Path, inspect: Inspector) -> io::Result<Proof> {
    let mut proof = Proof::default();
    for (name, mode, what, objectionable) in [
        ("open", 0o777, "a working directory with mode 0777", true),
        ("closed", 0o755, "a working directory with mode 0755", false),
    ] {
        let root = dir.join(name);
        fs::create_dir(&root)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(mode))?;
        let tree = Tree { root: root.clone(), ..Tree::default() };
        // What stands above the scratch directory is judged with the real ones.
        let said = inspect(&tree).remove(&root.display().to_string());
        let objected = !matches!(said, Some(Ok(_)));
        let did = if objected { "objected to" } else { "not objected to" };
        proof.holds(objected == objectionable, format!("planted: {what} is {did}"));
    }
    Ok(proof)
}

fn judge(mut proof: Proof, trees: &[Tree], inspect: Inspector) -> Found {
    if trees.is_empty() && !proof.broken() {
        return Found::not_applicable("no agent has a working directory or a script of its own");
    }
    let (mut wrong, mut well) = (BTreeMap::new(), BTreeMap::new());
    for tree in trees {
        let names = tree.agents.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        for (path, said) in inspect(tree) {
            match said {
                Ok(line) => drop(well.insert(path, line)),
                Err(line) => drop(wrong.insert(path, format!("{line} ({names})"))),
            }
        }
    }
    for line in wrong.values().take(SHOWN) {
        proof.holds(false, line.as_str());
    }
    for line in well.values().take(SHOWN) {
        proof.holds(true, line.as_str());
    }
    let summary = format!(
        "{} agents' directories are closed to others, and {} paths that lead there",
        trees.len(),
        well.len()
    );
    let mut found = proof.judge(summary);
    let more = wrong.len().saturating_sub(SHOWN) + well.len().saturating_sub(SHOWN);
    if more > 0 {
        found = found.seen(format!("and {more} more paths"));
    }
    wrong.into_iter().fold(found, |found, (path, line)| found.about(format!("file/{path}"), line))
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-006",
    at_work: || {
        async {
            let home = tempfile::tempdir().expect("a directory");
            let tree = |name: &str, mode: u32, script: u32| {
                let root = home.path().join(name);
                fs::create_dir(&root).expect("made");
                let main = root.join("main.py");
                fs::write(&main, "print()").expect("written");
                for (path, mode) in [(&main, script), (&root, mode)] {
                    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
                }
                let agents = ["orders".to_owned()].into();
                vec![Tree { root, agents, programs: [main].into(), ..Tree::default() }]
            };
            let broken: [(_, (Vec<Tree>, Inspector)); 4] = [
                ("a working directory that others write", (tree("a", 0o777, 0o644), inspect_tree)),
                ("a script that others write", (tree("b", 0o755, 0o666), inspect_tree)),
                ("a working directory that is gone", {
                    (vec![Tree { root: home.path().join("none"), ..Tree::default() }], inspect_tree)
                }),
                (
                    "a look that objects to nothing",
                    (tree("c", 0o755, 0o644), |tree| {
                        [(tree.root.display().to_string(), Ok("well".into()))].into()
                    }),
                ),
            ];
            tried(exercise, (tree("d", 0o755, 0o644), inspect_tree as Inspector), broken).await
        }
        .boxed()
    },
};
