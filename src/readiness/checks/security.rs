//! Security: files, secrets, separation, the door, and what a child may do, each shown the opposite first.
use super::configuration::is_development;
use crate::{
    domain::{Category, Fault, Permission, Role, Separation, Severity},
    readiness::{
        Check, Evidence, Found, GateAnswer, Ground, Proof,
        check::settle,
        proof::{blocking, script_agent},
        survivors,
    },
};
use futures_util::FutureExt;
use serde_json::json;
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(6);
/// Of a log no more is searched than its end.
const SEARCHED: u64 = 8 << 20;

pub const CHECKS: &[Check] = &[
    Check {
        id: "SE-001",
        title: "the daemon's files are its own and closed to others",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "who can write the database or the manifest is the operator; who can read them knows the fleet",
        how: "owner and mode of state directory, database, runtime directory, socket, manifest, logs and every directory above them; a file with mode 0666 and an open directory are planted and must be objected to",
        fix: "chmod and chown what the evidence names; `agentctl doctor` checks it too",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| files(evidence).boxed(),
    },
    Check {
        id: "SE-002",
        title: "a secret reaches the agent it is for, and nothing else",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "what is in an argument list or a log is read by everybody on the machine",
        how: "a random secret is given by reference to one scratch agent of two: it must be in its environment, and not in the other's, in any argument list, log or database; nor may the daemon's own environment reach either",
        fix: "this build leaks secrets: do not run it; `agentctl version`, then report it",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| secrets(evidence).boxed(),
    },
    Check {
        id: "SE-003",
        title: "agents are separated from the operator",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "an agent with the operator's uid can approve what it proposes",
        how: "each instance's uid and cgroup; in development the lack of both is a warning, elsewhere it fails",
        fix: "run agentd as root so that agents get a uid each (user = \"auto\"), or give it a delegated cgroup: the systemd unit does",
        exercised: false,
        deadline: None,
        quiet: false,
        run: |evidence| separation(evidence).boxed(),
    },
    Check {
        id: "SE-004",
        title: "a caller without permission is refused",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 3,
        why: "a permission check that is always true passes every test but this one",
        how: "every served route's own gate is asked as viewer, operator, admin and agent: what a role may not do must be refused, what it may must not be",
        fix: "this build does not guard its routes: do not run it; `agentctl version`, then report it",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| door(evidence).boxed(),
    },
    Check {
        id: "SE-005",
        title: "a child cannot gain privileges, dump core or hold the daemon's descriptors",
        category: Category::Security,
        severity: Severity::Blocker,
        weight: 2,
        why: "a core file holds secrets, a setuid program lifts limits, an inherited descriptor opens the database",
        how: "the kernel is asked about a scratch agent (no_new_privs, core limit, open files), and about a plain child, for which the answer must differ",
        fix: "this build starts agents unconfined: do not run it; `agentctl version`, then report it",
        exercised: true,
        deadline: None,
        quiet: false,
        run: |evidence| confinement(&evidence.ground).boxed(),
    },
];

/// A path and the mode bits that it must not have.
struct Closed {
    path: PathBuf,
    what: &'static str,
    forbidden: u32,
    required: bool,
}

async fn files(evidence: &Evidence) -> Found {
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

async fn secrets(evidence: &Evidence) -> Found {
    let logs = evidence.paths.logs.clone();
    exercise_secrets(&evidence.ground, Some(logs), false).await
}

/// With `careless` the secret is put on a command line, as a test does to see it found.
async fn exercise_secrets(ground: &Ground, daemon_logs: Option<PathBuf>, careless: bool) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let secret: String = (0..32).map(|_| fastrand::alphanumeric()).collect();
        let file = plot.path().join("secret");
        fs::write(&file, &secret)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .map_err(|error| Fault::internal(format!("cannot plant a secret: {error}")))?;
        let mut trusted = script_agent("trusted", "service", "exec sleep 600");
        trusted["options"]["environment"] = json!({ "PLANTED": format!("file:{}", file.display()) });
        let script =
            if careless { format!("sleep 600; : {secret}") } else { "echo started; exec sleep 600".into() };
        let bystander = script_agent("bystander", "service", &script);
        let fleet = ground.fleet(json!({ "agent": [trusted, bystander] }), false).await?;
        let pid = |name: &'static str| {
            let up = fleet.instance(name, PATIENCE, |_, now| {
                now.pid.is_some_and(|pid| {
                    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| !text.is_empty())
                })
            });
            async move { up.await.and_then(|now| now.pid) }
        };
        let (Some(trusted), Some(bystander)) = (pid("trusted").await, pid("bystander").await) else {
            return Ok(Found::error("the scratch agents did not come up"));
        };
        let holds = |path: String| fs::read(path).is_ok_and(|text| contains(&text, secret.as_bytes()));
        let mut proof = Proof::default();
        let has = holds(format!("/proc/{trusted}/environ"));
        proof.holds(
            has,
            format!(
                "the agent it is for {} it in its environment",
                if has { "has" } else { "does not have" }
            ),
        );
        let has = holds(format!("/proc/{bystander}/environ"));
        proof.holds(
            !has,
            format!("the other agent {} it in its environment", if has { "has" } else { "does not have" }),
        );
        let leaked = leaked_names(bystander);
        proof.holds(
            leaked.is_empty(),
            if leaked.is_empty() {
                "no variable of the daemon's environment reached the other agent".into()
            } else {
                format!("variables of the daemon reached the other agent: {}", leaked.join(", "))
            },
        );
        let all = survivors::marked(fleet.mark()).unwrap_or_default();
        let argued: Vec<_> = all.iter().filter(|pid| holds(format!("/proc/{pid}/cmdline"))).collect();
        proof.holds(
            !all.is_empty() && argued.is_empty(),
            format!("it is in {} of {} argument lists", argued.len(), all.len()),
        );
        fleet.supervisor().stop(&names(&fleet)).await?;
        let (searched, found) = search(fleet.path(), &secret);
        proof.holds(
            searched > 0 && found.is_empty(),
            format!(
                "it is in {} of {searched} files of the scratch daemon: database, logs and pipes",
                found.len()
            ),
        );
        if let Some(logs) = daemon_logs {
            let (searched, found) = search(&logs, &secret);
            proof.holds(
                found.is_empty(),
                format!("it is in {} of {searched} log files of this daemon", found.len()),
            );
        }
        fleet.finish().await;
        Ok(proof.judge("the secret went where it belongs and nowhere else"))
    };
    settle(exercise.await)
}

fn names(fleet: &crate::readiness::ScratchFleet) -> Vec<crate::domain::AgentName> {
    fleet.supervisor().snapshot().agents.iter().map(|agent| agent.name.clone()).collect()
}

/// Variables that the daemon has and the child has with the same value, beyond those that every process gets.
fn leaked_names(pid: i32) -> Vec<String> {
    const COMMON: &[&str] = &[
        "PATH", "LANG", "LC_ALL", "TZ", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "SHLVL", "_", "OLDPWD",
        "TMPDIR",
    ];
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let theirs: Vec<&[u8]> = environ.split(|byte| *byte == 0).collect();
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let pair = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
            let name = name.to_string_lossy().into_owned();
            (theirs.contains(&pair.as_slice()) && !COMMON.contains(&name.as_str())).then_some(name)
        })
        .collect()
}

/// Regular files below a directory: how many were searched, and which hold the text in their last 8 MiB.
fn search(dir: &Path, text: &str) -> (usize, Vec<PathBuf>) {
    use std::io::{Read, Seek, SeekFrom};
    let (mut searched, mut found) = (0, Vec::new());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() {
            let (more, hits) = search(&path, text);
            searched += more;
            found.extend(hits);
        } else if kind.is_file() {
            let mut end = Vec::new();
            let read = fs::File::open(&path).and_then(|mut file| {
                let length = file.metadata()?.len();
                file.seek(SeekFrom::Start(length.saturating_sub(SEARCHED)))?;
                file.take(SEARCHED).read_to_end(&mut end)
            });
            searched += usize::from(read.is_ok());
            if contains(&end, text.as_bytes()) {
                found.push(path);
            }
        }
    }
    (searched, found)
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

async fn separation(evidence: &Evidence) -> Found {
    let mut counts = [0_u32; 3];
    for (_, instance) in evidence.fleet().instances().filter(|(_, instance)| instance.pid.is_some()) {
        counts[match instance.separation {
            Separation::OwnUser => 0,
            Separation::OwnCgroup => 1,
            Separation::None => 2,
        }] += 1;
    }
    judge_separation(counts, &evidence.settings.environment)
}

fn judge_separation([user, cgroup, none]: [u32; 3], environment: &str) -> Found {
    let found = if user + cgroup + none == 0 {
        Found::not_applicable("no agent runs as a process of this machine")
    } else if none == 0 {
        Found::pass("every agent is told from the operator by a fact of the kernel")
    } else if is_development(environment) {
        Found::warn(format!("nothing but goodwill separates {none} instances from the operator"))
    } else {
        Found::fail(format!(
            "nothing but goodwill separates {none} instances from the operator, in {environment}"
        ))
    };
    found.seen(format!(
        "own uid {user}, own cgroup {cgroup}, neither {none} (source: the supervisor's snapshot)"
    ))
}

async fn door(evidence: &Evidence) -> Found {
    let Some(gate) = &evidence.gate else {
        return Found::skipped("the daemon gave no door to ask");
    };
    let mut answers = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin, Role::Agent] {
        answers.extend(gate.ask(role).await.into_iter().map(|answer| (role, answer)));
    }
    judge_door(&answers)
}

fn judge_door(answers: &[(Role, GateAnswer)]) -> Found {
    let refused = answers.iter().filter(|(_, answer)| !answer.admitted).count();
    let admitted = answers.len() - refused;
    let mut proof = Proof::default();
    for (role, answer) in answers {
        // Written out here and not asked of `Role::may`, since that is what is being proved.
        let may = match (role, answer.needs) {
            (Role::Admin, _) | (Role::Operator | Role::Viewer, Permission::FleetRead) => true,
            (Role::Operator, needs) => !matches!(needs, Permission::PolicyChange | Permission::DaemonControl),
            (Role::Agent, needs) => needs == Permission::AgentReport,
            (Role::Viewer, _) => false,
        };
        if answer.admitted != may {
            let did = if answer.admitted { "let through to" } else { "refused at" };
            proof.holds(false, format!("{role:?} was {did} {}, which needs {:?}", answer.path, answer.needs));
        }
    }
    proof.holds(
        refused > 0 && admitted > 0,
        format!("{} questions at the door: {admitted} let through, {refused} refused", answers.len()),
    );
    proof.judge("every route admits who may and refuses who may not")
}

/// What the kernel says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Confined {
    no_new_privs: bool,
    core_limit: String,
    descriptors: usize,
    /// What descriptors above 2 lead to.
    extra: Vec<String>,
}

fn confined(pid: u32) -> io::Result<Confined> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let core_limit =
        core.map(|rest| rest.split_whitespace().take(2).collect::<Vec<_>>().join("/")).unwrap_or_default();
    let mut seen = Confined {
        no_new_privs: status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])),
        core_limit,
        ..Confined::default()
    };
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        seen.descriptors += 1;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if number.is_none_or(|number| number > 2) {
            seen.extra.push(
                fs::read_link(entry.path()).map_or_else(|_| "?".into(), |path| path.display().to_string()),
            );
        }
    }
    Ok(seen)
}

async fn confinement(ground: &Ground) -> Found {
    let exercise = async {
        let fleet = ground
            .fleet(json!({ "agent": [script_agent("confined", "service", "exec sleep 600")] }), false)
            .await?;
        let program =
            |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep"));
        let up = fleet
            .instance("confined", PATIENCE, |_, now| {
                now.pid.and_then(|pid| u32::try_from(pid).ok()).is_some_and(program)
            })
            .await;
        let Some(pid) = up.and_then(|now| now.pid).and_then(|pid| u32::try_from(pid).ok()) else {
            return Ok(Found::error("the scratch agent did not come up"));
        };
        let cannot = |error: io::Error| Fault::internal(format!("cannot ask the kernel of a child: {error}"));
        let agent = confined(pid).map_err(cannot)?;
        let mut plain = tokio::process::Command::new("/bin/sleep")
            .arg("600")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let control = plain
            .id()
            .ok_or_else(|| Fault::internal("cannot find the plain child"))
            .and_then(|pid| confined(pid).map_err(cannot));
        let _ = plain.kill().await;
        let found = judge_confinement(&agent, &control?);
        fleet.finish().await;
        Ok(found)
    };
    settle(exercise.await)
}

fn judge_confinement(agent: &Confined, plain: &Confined) -> Found {
    let mut proof = Proof::default();
    let set = |yes: bool| if yes { "is set" } else { "is not set" };
    proof.holds(agent.no_new_privs, format!("no_new_privs {} on a scratch agent", set(agent.no_new_privs)));
    proof.holds(
        agent.core_limit == "0/0",
        format!("its core files are limited to {} bytes (soft/hard)", agent.core_limit),
    );
    proof.holds(
        agent.extra.is_empty(),
        if agent.extra.is_empty() {
            format!("it holds {} descriptors, none beyond stdin, stdout and stderr", agent.descriptors)
        } else {
            format!("it holds descriptors that it was not given: {}", agent.extra.join(", "))
        },
    );
    let found = proof.judge("a scratch agent is confined");
    // Where the daemon itself is confined (its systemd unit), a plain child is too, and the comparison says nothing.
    let control = if plain.no_new_privs { "as the daemon itself is" } else { "so the look tells them apart" };
    found.seen(format!(
        "a plain child beside it: no_new_privs {}, core limit {}: {control}",
        set(plain.no_new_privs),
        plain.core_limit
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Outcome, resilience::Clock};

    fn ground() -> (tempfile::TempDir, Ground) {
        let base = tempfile::tempdir().expect("a directory");
        let ground = Ground::new(base.path().join("scratch"), Clock::system());
        (base, ground)
    }

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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_secret_that_keeps_its_place_passes_and_one_on_a_command_line_is_found() {
        let (_base, ground) = ground();
        let found = exercise_secrets(&ground, None, false).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        let careless = exercise_secrets(&ground, None, true).await;
        assert_eq!(careless.outcome, Outcome::Fail, "{careless:?}");
        assert!(ground.close(Duration::from_secs(20)).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_scratch_agent_is_confined() {
        let (_base, ground) = ground();
        let found = confinement(&ground).await;
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        assert!(ground.close(Duration::from_secs(20)).await);
    }

    #[test]
    fn an_unconfined_agent_is_found() {
        let plain = Confined {
            no_new_privs: false,
            core_limit: "unlimited/unlimited".into(),
            descriptors: 3,
            extra: vec![],
        };
        let sound = Confined { no_new_privs: true, core_limit: "0/0".into(), ..plain.clone() };
        let leaky = Confined { extra: vec!["/var/lib/agentd/agentd.db".into()], ..sound.clone() };
        let dumps = Confined { core_limit: "0/unlimited".into(), ..sound.clone() };
        assert_eq!(judge_confinement(&sound, &plain).outcome, Outcome::Pass);
        for broken in [&plain, &leaky, &dumps] {
            assert_eq!(judge_confinement(broken, &plain).outcome, Outcome::Fail, "{broken:?}");
        }
    }

    #[test]
    fn goodwill_is_a_warning_in_development_and_a_gate_elsewhere() {
        assert_eq!(judge_separation([3, 1, 0], "production").outcome, Outcome::Pass);
        assert_eq!(judge_separation([3, 0, 1], "dev").outcome, Outcome::Warn);
        assert_eq!(judge_separation([3, 0, 1], "staging").outcome, Outcome::Fail);
        assert_eq!(judge_separation([0, 0, 0], "staging").outcome, Outcome::NotApplicable);
    }

    #[test]
    fn a_door_that_lets_everybody_in_or_nobody_is_found() {
        let routes = [
            ("/v1/status", Permission::FleetRead),
            ("/v1/agents/stop", Permission::AgentControl),
            ("/v1/report", Permission::AgentReport),
            ("/v1/readiness/run", Permission::ReadinessRun),
            ("/v1/config/reload", Permission::PolicyChange),
            ("/v1/daemon/stop", Permission::DaemonControl),
        ];
        let ask = |admits: fn(Role, Permission) -> bool| {
            let roles = [Role::Viewer, Role::Operator, Role::Admin, Role::Agent];
            let answers: Vec<_> = roles
                .into_iter()
                .flat_map(|role| {
                    routes.map(|(path, needs)| {
                        (role, GateAnswer { path: path.into(), needs, admitted: admits(role, needs) })
                    })
                })
                .collect();
            judge_door(&answers).outcome
        };
        assert_eq!(ask(Role::may), Outcome::Pass);
        assert_eq!(ask(|_, _| true), Outcome::Fail, "always true");
        assert_eq!(ask(|_, _| false), Outcome::Fail, "always false");
        assert_eq!(
            ask(|role, needs| role.may(needs) || role == Role::Agent && needs == Permission::FleetRead),
            Outcome::Fail
        );
        assert_eq!(judge_door(&[]).outcome, Outcome::Fail, "a door without routes proves nothing");
    }
}
