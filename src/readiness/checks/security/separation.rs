//! What separates an agent from the operator: asked of the kernel, not of the supervisor, whose word is being proved.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::readiness::{Evidence, Found, checks::configuration::is_development};
#[cfg(test)]
use futures_util::FutureExt;
use std::{fs, io};

/// How many instances are named in the evidence.
const NAMED: usize = 12;

/// What the kernel says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    /// Real, effective, saved and file-system uid.
    uids: Vec<u32>,
    /// Its lines of /proc/PID/cgroup.
    cgroup: String,
}

pub async fn looked_at(evidence: &Evidence) -> Found {
    let own = match facts("self") {
        Ok(own) => own,
        Err(error) => return Found::error(format!("cannot ask the kernel about the daemon: {error}")),
    };
    let instances = evidence.fleet().instances().filter_map(|(_, instance)| {
        let pid = instance.pid?;
        // One that is gone has nothing to be separated from.
        facts(&pid.to_string()).ok().map(|facts| (instance.id.to_string(), facts))
    });
    judge(&own, &instances.collect::<Vec<_>>(), &evidence.settings.environment)
}

fn facts(pid: &str) -> io::Result<Facts> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uids: Option<Vec<u32>> =
        line.and_then(|line| line.split_whitespace().map(|uid| uid.parse().ok()).collect());
    let uids = uids
        .filter(|uids| uids.len() == 4)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no uids in its status"))?;
    Ok(Facts { uids, cgroup: fs::read_to_string(format!("/proc/{pid}/cgroup"))? })
}

/// Root is separated from nobody, and neither is a process that could take the daemon's uid again.
fn has_own_uid(own: &Facts, agent: &Facts) -> bool {
    agent.uids.iter().all(|uid| *uid != 0 && !own.uids.contains(uid))
}

fn judge(own: &Facts, instances: &[(String, Facts)], environment: &str) -> Found {
    let bare: Vec<_> = instances.iter().filter(|(_, facts)| !has_own_uid(own, facts)).collect();
    let none = bare.len();
    let found = if instances.is_empty() {
        Found::not_applicable("no agent runs as a process of this machine")
    } else if none == 0 {
        Found::pass("every agent is told from the operator by its uid")
    } else if is_development(environment) {
        Found::warn(format!("nothing but goodwill separates {none} instances from the operator"))
    } else {
        Found::fail(format!(
            "nothing but goodwill separates {none} instances from the operator, in {environment}"
        ))
    };
    let named = bare.iter().take(NAMED).map(|(id, facts)| {
        // A process may move itself out of a cgroup that its uid may write, so the cgroup is told and not counted.
        let cgroup =
            if facts.cgroup == own.cgroup { "the daemon's" } else { "its own, which its uid can leave" };
        format!("{id}: uid {}, cgroup {cgroup}", facts.uids.first().map_or_else(String::new, u32::to_string))
    });
    let found = found.seen(format!(
        "{} of {} instances have a uid that is neither root's nor the daemon's {} (source: /proc/PID/status)",
        instances.len() - none,
        instances.len(),
        own.uids.first().map_or_else(String::new, u32::to_string)
    ));
    let found = found.all_seen(named);
    if none > NAMED { found.seen(format!("and {} more", none - NAMED)) } else { found }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "SE-003",
    at_work: || {
        async {
            let own = facts("self").expect("the kernel's answer");
            let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().expect("a child");
            let seen = facts(&child.id().to_string());
            child.kill().and_then(|()| child.wait()).expect("its end");
            let seen = seen.expect("the kernel's answer");
            let with = |uids: [u32; 4]| Facts { uids: uids.into(), cgroup: seen.cgroup.clone() };
            let say = |facts: Facts| judge(&own, &[("child/0".into(), facts)], "production");
            let us = own.uids[0];
            let other = us + 61_200;
            Tried {
                sound: vec![say(with([other; 4]))],
                broken: vec![
                    ("a real child under the daemon's uid", say(seen.clone())),
                    ("an agent that is root", say(with([0; 4]))),
                    ("an agent that could take the daemon's uid again", say(with([other, other, us, other]))),
                ],
            }
        }
        .boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    fn process(uids: [u32; 4]) -> Facts {
        Facts { uids: uids.into(), cgroup: "0::/agentd\n".into() }
    }

    #[test]
    fn goodwill_is_a_warning_in_development_and_a_gate_elsewhere() {
        let (root, user) = (process([0; 4]), process([1000; 4]));
        let apart = ("a/0".to_owned(), process([61200; 4]));
        let same = ("b/0".to_owned(), process([1000; 4]));
        let as_root = ("c/0".to_owned(), process([0; 4]));
        let could_return = ("d/0".to_owned(), process([61200, 61200, 1000, 61200]));
        let table = [
            (&root, vec![apart.clone()], "production", Outcome::Pass),
            (&user, vec![apart.clone()], "production", Outcome::Pass),
            (&user, vec![apart.clone(), same.clone()], "production", Outcome::Fail),
            (&user, vec![apart.clone(), same.clone()], "dev", Outcome::Warn),
            (&root, vec![as_root.clone()], "staging", Outcome::Fail),
            (&user, vec![as_root], "staging", Outcome::Fail),
            (&user, vec![could_return], "staging", Outcome::Fail),
            (&user, vec![], "staging", Outcome::NotApplicable),
        ];
        for (own, instances, environment, outcome) in table {
            let found = judge(own, &instances, environment);
            assert_eq!(found.outcome, outcome, "{environment}: {found:?}");
        }
        let elsewhere = Facts { cgroup: "0::/agentd/b\n".into(), ..same.1 };
        let found = judge(&user, &[("b/0".into(), elsewhere)], "staging");
        assert_eq!(found.outcome, Outcome::Fail, "a cgroup that its uid can leave separates nothing");
    }
}
