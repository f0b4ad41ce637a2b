//! A planted secret is followed wherever one could leak: environments, argument lists, the database, and every kind of
//! log: agents' own, the daemon's, and what both write when a start fails.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::{AgentState, Fault},
    readiness::{Evidence, Found, Ground, Proof, check::settle, scratch_fleet::script_agent, survivors},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Of a log no more is searched than its end.
const SEARCHED: u64 = 8 << 20;

pub async fn kept(evidence: &Evidence) -> Found {
    let logs = evidence.paths.logs.clone();
    exercise_secrets(&evidence.ground, (Some(logs), Care::Taken)).await
}

/// What a test makes the scratch agents do with the secret, to see it found.
#[derive(Clone, Copy, PartialEq)]
enum Care {
    Taken,
    #[cfg(test)]
    OnACommandLine,
    #[cfg(test)]
    InALog,
}

async fn exercise_secrets(ground: &Ground, (daemon_logs, care): (Option<PathBuf>, Care)) -> Found {
    let exercise = async {
        let plot = ground.plot()?;
        let secret: String = (0..32).map(|_| fastrand::alphanumeric()).collect();
        let file = plot.path().join("secret");
        fs::write(&file, &secret)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .map_err(|error| Fault::internal(format!("cannot plant a secret: {error}")))?;
        let agents = agents(&file, &secret, care);
        let fleet = ground.fleet(json!({ "agent": agents }), false).await?;
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
        let failed =
            |name: &'static str| fleet.instance(name, PATIENCE, |_, now| now.state == AgentState::Failed);
        if failed("absent").await.is_none() || failed("falls").await.is_none() {
            return Ok(Found::error("the scratch agents that are to fail did not"));
        }
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
            let written = written_out(&logs).await;
            proof.holds(
                written != Some(false),
                match written {
                    Some(true) => "what the daemon logged meanwhile is in its log".into(),
                    Some(false) => format!(
                        "a line that the daemon logged did not come to its log in {} within {PATIENCE:?}",
                        logs.display()
                    ),
                    None => "the daemon's log is off".into(),
                },
            );
            let (searched, found) = search(&logs, &secret);
            proof.holds(
                found.is_empty(),
                format!("it is in {} of {searched} log files of this daemon and its agents", found.len()),
            );
        }
        fleet.finish().await;
        Ok(proof.judge("the secret went where it belongs and nowhere else"))
    };
    settle(exercise.await)
}

/// One that has the secret, one that must not, and two that have it and cannot be started or fall over: faults are told
/// with what they are about.
fn agents(
    file: &Path,
    #[cfg_attr(not(test), expect(unused_variables, reason = "only a careless agent is told"))] secret: &str,
    care: Care,
) -> [serde_json::Value; 4] {
    const IDLE: &str = "echo started; exec sleep 600";
    let (says, script) = match care {
        Care::Taken => (IDLE, IDLE.to_owned()),
        #[cfg(test)]
        Care::InALog => ("echo $PLANTED; exec sleep 600", IDLE.to_owned()),
        #[cfg(test)]
        Care::OnACommandLine => (IDLE, format!("sleep 600; : {secret}")),
    };
    let planted = json!({ "PLANTED": format!("file:{}", file.display()) });
    let mut trusted = script_agent("trusted", "service", says);
    trusted["options"]["environment"] = planted.clone();
    let bystander = script_agent("bystander", "service", &script);
    let mut absent = script_agent("absent", "service", "");
    absent["options"] = json!({ "command": ["/nonexistent/program"], "environment": planted });
    let mut falls = script_agent("falls", "service", "exit 3");
    falls["options"]["environment"] = planted;
    falls["restart"] = json!({ "policy": "never" });
    [trusted, bystander, absent, falls]
}

/// The log is written by a thread of its own: waits until a line that is logged now is in it. None if nothing is logged.
async fn written_out(logs: &Path) -> Option<bool> {
    let mark = format!("secret-{}", fastrand::u64(..));
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!(mark, "validation looks for a planted secret in the logs");
    } else if tracing::enabled!(tracing::Level::WARN) {
        tracing::warn!(mark, "validation looks for a planted secret in the logs");
    } else if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(mark, "validation looks for a planted secret in the logs");
    } else {
        return None;
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        // Its own log alone: agents' are many, and are written before their agent is gone.
        let (_, found) = search_files(logs, &mark, false);
        if !found.is_empty() {
            return Some(true);
        }
        if tokio::time::Instant::now() > end {
            return Some(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    search_files(dir, text, true)
}

fn search_files(dir: &Path, text: &str, deep: bool) -> (usize, Vec<PathBuf>) {
    use std::io::{Read, Seek, SeekFrom};
    let (mut searched, mut found) = (0, Vec::new());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && deep {
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

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-002",
    at_work: || {
        let broken = [
            ("a secret on a command line", (None, Care::OnACommandLine)),
            ("a secret in an agent's log", (None, Care::InALog)),
        ];
        tried(exercise_secrets, (None, Care::Taken), broken).boxed()
    },
};
