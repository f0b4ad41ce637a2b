//! Where agents' own files are: their working directories, and the directories of the scripts that they run.
use crate::{
    config::{AgentSettings, Settings},
    domain::FleetSnapshot,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What the machine itself installs, and what is no tree but a view of the kernel's.
const OF_THE_MACHINE: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix", "/snap", "/proc", "/sys", "/dev"];
/// Directories that hold much beside an agent: of these only the script itself is its own.
const SHARED: &[&str] = &["/", "/tmp", "/var/tmp", "/root", "/home", "/opt", "/srv", "/etc", "/var", "/mnt"];

/// A directory, or a lone script, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub root: PathBuf,
    pub agents: BTreeSet<String>,
    /// Under which the agents' processes run now.
    pub uids: BTreeSet<u32>,
    /// Every program and script that they name there.
    pub programs: BTreeSet<PathBuf>,
}

/// Of every enabled agent, in order of path; one below another counts to that.
pub fn of(settings: &Settings, fleet: &FleetSnapshot) -> Vec<Tree> {
    let here = env::current_dir().unwrap_or_else(|_| "/".into());
    let mut trees: BTreeMap<PathBuf, Tree> = BTreeMap::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        let uids = uids(fleet, agent.name.as_str());
        let mut add = |root: PathBuf, program: Option<PathBuf>| {
            let tree = trees.entry(root.clone()).or_default();
            tree.root = root;
            tree.agents.insert(agent.name.to_string());
            tree.uids.extend(&uids);
            tree.programs.extend(program);
        };
        let workdir = workdir(agent, &here);
        if let Some(code) = &agent.artifact {
            add(code.clone(), None);
        }
        if let Some(dir) = &workdir {
            add(dir.clone(), None);
        }
        let base = workdir.unwrap_or_else(|| here.clone());
        for script in scripts(agent, &base) {
            let dir = script.parent().unwrap_or(Path::new("/")).to_owned();
            let lone = SHARED.iter().any(|shared| dir == Path::new(shared)) || is_home(&dir);
            add(if lone { script.clone() } else { dir }, Some(script));
        }
    }
    let mut apart: Vec<Tree> = Vec::new();
    for tree in trees.into_values() {
        match apart.iter_mut().find(|above| tree.root.starts_with(&above.root)) {
            Some(above) => {
                above.agents.extend(tree.agents);
                above.uids.extend(tree.uids);
                above.programs.extend(tree.programs);
            }
            None => apart.push(tree),
        }
    }
    apart
}

/// Every program that enabled agents are started with, wherever it is.
pub fn programs(settings: &Settings) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let here = env::current_dir().unwrap_or_else(|_| "/".into());
    let mut found: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        let base = workdir(agent, &here).unwrap_or_else(|| here.clone());
        let mut add = |path: PathBuf| found.entry(path).or_default().extend([agent.name.to_string()]);
        scripts(agent, &base).into_iter().for_each(&mut add);
        let first = words(&agent.options).next().map(|word| with_artifact(agent, word));
        let Some(program) = first else { continue };
        if program.contains('/') {
            add(base.join(&program));
        } else if !program.contains('{') {
            let search = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
            let given = agent.options.pointer("/environment/PATH").and_then(Value::as_str).map(Into::into);
            let search = given.unwrap_or(search);
            env::split_paths(&search)
                .map(|dir| base.join(dir).join(&program))
                .find(|path| path.is_file())
                .map(&mut add);
        }
    }
    found
}

fn workdir(agent: &AgentSettings, here: &Path) -> Option<PathBuf> {
    let dir = agent.options.get("workdir").and_then(Value::as_str)?;
    Some(here.join(with_artifact(agent, dir)))
}

/// What stands for the agent's code put in.
fn with_artifact(agent: &AgentSettings, text: &str) -> String {
    match &agent.artifact {
        Some(code) => text.replace("{artifact}", &code.to_string_lossy()),
        None => text.to_owned(),
    }
}

fn words(options: &Value) -> impl Iterator<Item = &str> {
    options.get("command").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Files named on the command line that are text and not the machine's own.
fn scripts(agent: &AgentSettings, base: &Path) -> Vec<PathBuf> {
    let all = words(&agent.options).map(|word| with_artifact(agent, word));
    let named = all.filter(|word| !word.contains('{') && !word.starts_with('-') && !word.is_empty());
    let paths = named.map(|word| base.join(word));
    paths.filter(|path| !OF_THE_MACHINE.iter().any(|dir| path.starts_with(dir)) && is_text(path)).collect()
}

fn is_text(path: &Path) -> bool {
    let mut head = Vec::new();
    // A pipe would wait for a writer.
    fs::metadata(path).is_ok_and(|meta| meta.is_file())
        && fs::File::open(path).and_then(|file| file.take(512).read_to_end(&mut head)).is_ok()
        && !head.contains(&0)
}

fn is_home(dir: &Path) -> bool {
    dir.parent() == Some(Path::new("/home"))
        || env::var_os("HOME").is_some_and(|home| dir == Path::new(&home))
}

/// Effective uids of an agent's living processes.
fn uids(fleet: &FleetSnapshot, agent: &str) -> BTreeSet<u32> {
    let instances = fleet.agent(agent).into_iter().flat_map(|agent| &agent.instances);
    let pids = instances.filter_map(|instance| instance.pid);
    pids.filter_map(|pid| fs::metadata(format!("/proc/{pid}")).ok()).map(|meta| meta.uid()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_directories_and_scripts_are_agents_trees_and_the_machine_is_not() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path();
        fs::create_dir_all(dir.join("app/sub")).expect("made");
        fs::create_dir_all(dir.join("other")).expect("made");
        fs::write(dir.join("app/sub/main.py"), "print()").expect("written");
        fs::write(dir.join("other/run.sh"), "exec true").expect("written");
        fs::write(dir.join("other/program"), b"\x7fELF\0").expect("written");
        let settings: Settings = serde_json::from_value(serde_json::json!({ "agent": [
            { "name": "a", "kind": "process", "options": { "command": ["/bin/sh", "sub/main.py"], "workdir": dir.join("app") } },
            { "name": "b", "kind": "process", "options": { "command": [dir.join("other/run.sh"), "{port}"] } },
            { "name": "c", "kind": "process", "options": { "command": [dir.join("other/program")] } },
            { "name": "off", "kind": "process", "enabled": false, "options": { "command": ["x"], "workdir": "/off" } },
        ] }))
        .expect("settings");
        let trees = of(&settings, &FleetSnapshot::default());
        let roots: Vec<_> = trees.iter().map(|tree| tree.root.clone()).collect();
        assert_eq!(roots, [dir.join("app"), dir.join("other")]);
        assert!(trees[0].programs.contains(&dir.join("app/sub/main.py")));
        let programs: Vec<_> = programs(&settings).into_keys().collect();
        assert_eq!(
            programs,
            [
                PathBuf::from("/bin/sh"),
                dir.join("app/sub/main.py"),
                dir.join("other/program"),
                dir.join("other/run.sh")
            ]
        );
    }
}
