//! What a child of the supervisor may do, asked of the kernel, beside a plain child.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    domain::Fault,
    readiness::{Found, Ground, Proof, check::settle, proof::poll, scratch_fleet::script_agent},
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, io, process::Stdio, time::Duration};

const PATIENCE: Duration = Duration::from_secs(10);
/// How long descriptors beyond the first three may be there before they count.
const SETTLING: Duration = Duration::from_secs(1);
/// An agent that keeps what it was given and asks for no more.
pub const QUIET: &str = "exec sleep 600";

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

/// `script` is what the scratch agent does; a test lets it loosen what holds it.
pub async fn proved(ground: &Ground, script: &str) -> Found {
    let exercise = async {
        let fleet =
            ground.fleet(json!({ "agent": [script_agent("confined", "service", script)] }), false).await?;
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
        // A program that was just loaded holds its libraries open for a moment; what it was given stays.
        let settled = || confined(pid).ok().filter(|seen| seen.extra.is_empty());
        let agent = match poll(SETTLING, settled).await {
            Some(agent) => agent,
            None => confined(pid).map_err(cannot)?,
        };
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
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-005",
    at_work: || {
        let leaks = "exec 9</proc/version; exec sleep 600";
        tried(proved, QUIET, [("an agent that holds a descriptor it was not given", leaks)]).boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn a_child_that_was_started_without_the_supervisor_is_found() {
        let mut plain = std::process::Command::new("/bin/sleep").arg("60").spawn().expect("a child");
        let seen = confined(plain.id());
        plain.kill().and_then(|()| plain.wait()).expect("its end");
        let seen = seen.expect("the kernel's answer");
        assert!(seen.descriptors >= 3, "{seen:?}");
        // Where the tests themselves run confined, nothing can be told apart.
        if !seen.no_new_privs {
            assert_eq!(judge_confinement(&seen, &seen).outcome, Outcome::Fail, "{seen:?}");
        }
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
}
