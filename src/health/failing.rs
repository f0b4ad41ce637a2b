//! A probe that turns failing, as a failure to be recorded: once per turn, not per look. One that is blocked is not
//! recorded, for what blocks it is; nor is a startup probe, for its agent's start is.
use crate::{
    domain::{
        Fault, FaultCategory, FaultKind, FaultSeverity, InstanceId, ProbeRole, ProbeState, ProbeTransition,
    },
    errors::Failure,
};

/// `kind` and `role` of the probe that turned.
pub fn failure(turned: &ProbeTransition, kind: &str, role: ProbeRole) -> Option<Failure> {
    if turned.to != ProbeState::Failing || role == ProbeRole::Startup {
        return None;
    }
    // A bare name is a dependency's.
    let instance = turned.target.parse::<InstanceId>().ok().filter(|_| turned.target.contains('/'));
    let category = match (kind, &instance) {
        ("sqlite" | "postgres" | "redis", _) => FaultCategory::Database,
        ("http" | "tcp", None) => FaultCategory::ExternalService,
        ("http" | "tcp", Some(_)) => FaultCategory::Network,
        _ => FaultCategory::Agent,
    };
    let grave = instance.is_none() || role == ProbeRole::Liveness;
    let ProbeTransition { target, probe, detail, .. } = turned;
    let fault = Fault::new(FaultKind::Unavailable, format!("cannot find {target} well: {probe}: {detail}"))
        .category(category)
        .severity(if grave { FaultSeverity::High } else { FaultSeverity::Medium });
    // By name, since a number at its end tells one dependency from another.
    let operation = if instance.is_some() { "probe".to_owned() } else { format!("probe.{target}") };
    let failure = Failure::new(operation, fault).context(format!("{kind} probe {probe} of {target}"));
    Some(match &instance {
        Some(instance) => failure.of(instance),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(target: &str, to: ProbeState) -> ProbeTransition {
        ProbeTransition {
            at: jiff::Timestamp::now(),
            target: target.into(),
            probe: "ready".into(),
            from: ProbeState::Passing,
            to,
            detail: "connection refused".into(),
        }
    }

    #[test]
    fn only_a_turn_to_failing_is_one_and_a_blocked_probe_is_its_blockers() {
        let of = |target, to, kind, role| failure(&turned(target, to), kind, role);
        for to in [ProbeState::Passing, ProbeState::Blocked, ProbeState::Unknown] {
            assert!(of("orders/0", to, "http", ProbeRole::Readiness).is_none(), "{to:?}");
        }
        assert!(of("orders/0", ProbeState::Failing, "http", ProbeRole::Startup).is_none());
        let seen = of("orders/0", ProbeState::Failing, "http", ProbeRole::Readiness).expect("a failure");
        let nature = seen.fault.nature();
        assert_eq!((nature.category, nature.severity), (FaultCategory::Network, FaultSeverity::Medium));
        assert_eq!(seen.agent.expect("its agent").as_str(), "orders");
        let seen = of("orders-db", ProbeState::Failing, "postgres", ProbeRole::Readiness).expect("a failure");
        let nature = seen.fault.nature();
        assert_eq!((nature.category, nature.severity), (FaultCategory::Database, FaultSeverity::High));
        assert!(seen.agent.is_none() && nature.retryable && seen.operation == "probe.orders-db");
    }
}
