//! Is the fleet well right now? Pure: states and probes → verdict and the sentence that gives its reason.
use crate::domain::{AgentState, AgentStatus, FleetVerdict, ProbeRole, ProbeState, ProbeStatus};
use std::borrow::Borrow;

/// Agents that are disabled do not count; those stopped by somebody's wish count only in that, if all are, the fleet
/// is down. A startup probe may fail while its agent starts.
pub fn judge<A: Borrow<AgentStatus>>(agents: &[A], probes: &[ProbeStatus]) -> (FleetVerdict, String) {
    let agents: Vec<&AgentStatus> =
        agents.iter().map(Borrow::borrow).filter(|agent| agent.state != AgentState::Disabled).collect();
    let total = agents.len();
    let count = |is: fn(AgentState) -> bool| agents.iter().filter(|agent| is(agent.state)).count();
    let failing: Vec<&ProbeStatus> = probes
        .iter()
        .filter(|probe| probe.state == ProbeState::Failing && probe.role != ProbeRole::Startup)
        .collect();
    let ready = count(|state| state == AgentState::Ready);
    let stopped = count(|state| state == AgentState::Stopped);
    let bad: Vec<&&AgentStatus> = agents.iter().filter(|agent| agent.state.needs_a_look()).collect();
    let coming =
        count(|state| matches!(state, AgentState::Starting | AgentState::Waiting | AgentState::Stopping));

    if total == 0 {
        return (FleetVerdict::Empty, "no agent is enabled, so there is nothing to judge".into());
    }
    if bad.is_empty() && failing.is_empty() && coming > 0 {
        return (FleetVerdict::Starting, format!("{ready} of {} ready, {coming} on their way", many(total)));
    }
    if count(AgentState::is_up) == 0 {
        let why = if stopped == total { "all are stopped" } else { "none is up" };
        return (FleetVerdict::Down, format!("0 of {} ready: {why}", many(total)));
    }
    if !bad.is_empty() {
        let named: Vec<String> =
            bad.iter().take(3).map(|agent| format!("{} is {}", agent.name, agent.state.as_str())).collect();
        let rest = if bad.len() > 3 { format!(" and {} more", bad.len() - 3) } else { String::new() };
        let verb = if bad.len() == 1 { "is" } else { "are" };
        return (
            FleetVerdict::Degraded,
            format!("{} of {} {verb} not well: {}{rest}", bad.len(), many(total), named.join(", ")),
        );
    }
    if let [first, ..] = &failing[..] {
        return (
            FleetVerdict::Degraded,
            format!(
                "{} of {} {}: {} of {} first",
                failing.len(),
                probes.len(),
                if probes.len() == 1 { "probe fails" } else { "probes fail" },
                first.name,
                first.target
            ),
        );
    }
    let stopped = if stopped > 0 { format!(", {stopped} stopped by hand or done") } else { String::new() };
    (FleetVerdict::Healthy, format!("{ready} of {} ready{stopped}", many(total)))
}

fn many(agents: usize) -> String {
    if agents == 1 { "1 agent".into() } else { format!("{agents} agents") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AgentState as S;

    fn agent(state: S) -> AgentStatus {
        AgentStatus {
            name: "orders".parse().expect("a name"),
            kind: "service".into(),
            tier: "core".into(),
            owner: None,
            state,
            replicas: 1,
            depends_on: Vec::new(),
            instances: Vec::new(),
        }
    }

    fn failing(role: ProbeRole) -> ProbeStatus {
        ProbeStatus {
            target: "orders-db".into(),
            name: "tcp".into(),
            kind: "tcp".into(),
            role,
            state: ProbeState::Failing,
            last: None,
            streak: 3,
            since: None,
            every_s: 30.0,
            blocked_by: None,
        }
    }

    #[test]
    fn the_verdict_by_table() {
        use FleetVerdict as V;
        for (states, wanted, said) in [
            (&[][..], V::Empty, "nothing to judge"),
            (&[S::Disabled], V::Empty, "nothing to judge"),
            (&[S::Ready, S::Ready, S::Disabled], V::Healthy, "2 of 2 agents ready"),
            (&[S::Ready, S::Stopped], V::Healthy, "1 of 2 agents ready, 1 stopped"),
            (&[S::Stopped], V::Down, "all are stopped"),
            (&[S::Ready, S::Starting], V::Starting, "1 of 2 agents ready, 1 on their way"),
            (&[S::Waiting], V::Starting, "0 of 1 agent ready"),
            (&[S::Ready, S::CrashLooping], V::Degraded, "1 of 2 agents is not well: orders is crash-looping"),
            (&[S::Starting, S::Failed], V::Degraded, "orders is failed"),
            (&[S::BackingOff, S::Failed], V::Down, "none is up"),
            (&[S::Ready, S::Failed, S::Failed, S::Failed, S::Failed], V::Degraded, "and 1 more"),
        ] {
            let agents: Vec<_> = states.iter().map(|state| agent(*state)).collect();
            let (verdict, because) = judge(&agents, &[]);
            assert_eq!(verdict, wanted, "{states:?}");
            assert!(because.contains(said), "{states:?}: {because}");
        }
    }

    #[test]
    fn a_failing_probe_spoils_a_fleet_that_seems_well_and_a_startup_probe_does_not() {
        let (verdict, because) = judge(&[agent(S::Ready)], &[failing(ProbeRole::Readiness)]);
        assert_eq!(verdict, FleetVerdict::Degraded);
        assert!(because.contains("tcp of orders-db"), "{because}");
        let (verdict, _) = judge(&[agent(S::Starting)], &[failing(ProbeRole::Startup)]);
        assert_eq!(verdict, FleetVerdict::Starting);
    }
}
