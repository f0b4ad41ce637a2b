//! What the agents' processes hold, against the limits that the manifest gives them.
use super::figure::{Figure, Limit, worst};
#[cfg(test)]
use crate::readiness::{
    checks::{Saboteur, Tried, scratch_ground},
    proof::poll,
    scratch_fleet::script_agent,
};
use crate::{
    agents::procfs::Table,
    domain::Fault,
    readiness::{Evidence, Found, proof::blocking},
};
#[cfg(test)]
use futures_util::FutureExt;
use std::{collections::HashMap, fs, time::Duration};

const ROUNDS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(50);

/// An instance that is up and how many bytes it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    id: String,
    limit: u64,
}

pub async fn within_limits(evidence: &Evidence) -> Found {
    let mut claims = Vec::new();
    let limited = || evidence.settings.agents.iter().filter(|agent| agent.enabled && agent.kind != "http");
    for agent in limited() {
        let Some(limit) = agent.limits.memory else { continue };
        let Some(status) = evidence.fleet().agent(agent.name.as_str()) else { continue };
        let up = status.instances.iter().filter(|instance| instance.state.is_up() && instance.pid.is_some());
        claims.extend(up.map(|instance| Claim { id: instance.id.to_string(), limit: limit.0 }));
    }
    if limited().all(|agent| agent.limits.memory.is_none()) {
        return Found::not_applicable("no agent has a memory limit: CF-007 warns of that");
    }
    weigh(evidence.store.fleet_id(), claims).await
}

async fn weigh(fleet_id: &str, claims: Vec<Claim>) -> Found {
    if claims.is_empty() {
        return Found::error("nothing was measured: no agent with a memory limit is up");
    }
    let mut samples: HashMap<String, Vec<f64>> = HashMap::new();
    for _ in 0..ROUNDS {
        match held(fleet_id.to_owned()).await {
            Ok(held) => held.into_iter().for_each(|(id, bytes)| samples.entry(id).or_default().push(bytes)),
            Err(fault) => return fault.into(),
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let judge = |what: &str, samples: &[f64], limit: f64| {
        let samples: Vec<f64> = samples.iter().copied().map(mib).collect();
        Limit { what, unit: "MiB", below: mib(limit), figure: Figure::Median }.judge(&samples)
    };
    let mut all = Vec::new();
    let (mut sums, mut limits) = (vec![0.0; ROUNDS], 0.0);
    let mut fullest = (0.0, String::new());
    for Claim { id, limit } in &claims {
        let of = samples.get(id).map_or(&[][..], Vec::as_slice);
        let limit = *limit as f64;
        limits += limit;
        sums.iter_mut().zip(of).for_each(|(sum, bytes)| *sum += bytes);
        let share = Figure::Median.read(of).map_or(0.0, |reading| reading.value / limit);
        if share >= fullest.0 {
            fullest = (share, id.clone());
        }
        all.push((format!("agent/{id}"), judge(&format!("memory of {id}"), of, limit)));
    }
    let sum = judge(&format!("memory of {} instances together", claims.len()), &sums, limits);
    let together = sum.summary.clone();
    all.push(("fleet".into(), sum));
    worst(all, format!("each of {} instances holds less than its limit", claims.len()))
        .seen(together)
        .seen(format!("the fullest is {} with {:.0} % of its limit", fullest.1, fullest.0 * 100.0))
        .seen("source: Pss in /proc/PID/smaps_rollup of every process of an instance, else VmRSS")
}

/// Bytes that the processes of each instance hold now.
async fn held(fleet_id: String) -> Result<HashMap<String, f64>, Fault> {
    blocking(move || {
        let table = Table::scan();
        let mut held = HashMap::new();
        for process in table.processes.iter().filter(|process| !process.is_dead()) {
            let Some(marker) = table.any_marker(process.pid) else { continue };
            // One that has just ended holds nothing.
            if marker.fleet == fleet_id
                && let Some(bytes) = bytes(process.pid)
            {
                *held.entry(marker.instance.clone()).or_insert(0.0) += bytes;
            }
        }
        Ok(held)
    })
    .await
}

/// Shared pages are counted by the share of each, where the kernel says so.
fn bytes(pid: i32) -> Option<f64> {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:")).map(|kib| kib * 1024.0)
}

/// A real agent whose second process has grown past what the agent may hold.
#[cfg(test)]
async fn outgrown() -> Tried {
    const MIB: u64 = 1 << 20;
    let (_base, ground) = scratch_ground();
    let hoards = "{ head -c 60000000 /dev/zero; exec sleep 600; } | tail";
    let agent = script_agent("hoarder", "service", hoards);
    let fleet = ground.fleet(serde_json::json!({ "agent": [agent] }), false).await.expect("a fleet");
    let full = || {
        let all = Table::scan();
        let mine = all.processes.iter().filter(|one| all.is_marked(one.pid, fleet.mark(), "hoarder/0"));
        (mine.filter_map(|one| bytes(one.pid)).sum::<f64>() > 50e6).then_some(())
    };
    poll(Duration::from_secs(20), full).await.expect("it hoards");
    let claim = |limit: u64| vec![Claim { id: "hoarder/0".into(), limit: limit * MIB }];
    let sound = weigh(fleet.mark(), claim(512)).await;
    let broken = weigh(fleet.mark(), claim(32)).await;
    fleet.finish().await;
    Tried { sound: vec![sound], broken: vec![("an agent that has outgrown its limit", broken)] }
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur { of: "PF-008", at_work: || outgrown().boxed() };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[tokio::test]
    async fn an_instance_of_which_nothing_is_seen_is_unmeasured() {
        let claim = Claim { id: "nobody/0".into(), limit: 1 };
        assert_eq!(weigh("no-such-fleet", vec![claim]).await.outcome, Outcome::Error);
        assert_eq!(weigh("no-such-fleet", vec![]).await.outcome, Outcome::Error);
    }
}
