//! Breakers for the operator: what is done to one is in the store, with its row in the trail, before it is done.
use super::App;
use crate::{
    domain::{Act, BreakerRecord, BreakerState, BreakerStatus, BreakerTrip, Fault, FaultKind},
    health::standing,
    resilience::{Policy, Tripped},
};

impl App {
    /// Every breaker that guards something, by name.
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.monitor.policies().all().iter().map(standing).collect()
    }

    pub fn breaker(&self, name: &str) -> Result<BreakerStatus, Fault> {
        self.guard(name).map(|policy| standing(&policy))
    }

    /// Holds it open until it is reset.
    pub async fn trip_breaker(&self, name: &str, reason: String, act: Act) -> Result<BreakerStatus, Fault> {
        let policy = self.guard(name)?;
        let trip = BreakerTrip { by: act.principal.to_string(), reason };
        let wanted = self.wanted(&policy, BreakerState::Open, Some(trip.clone()));
        let at = wanted.since;
        self.store.set_breaker(wanted, act).await?;
        policy.breaker().trip(Tripped { by: trip.by, reason: trip.reason }, at);
        Ok(standing(&policy))
    }

    /// Closes it, whatever opened it.
    pub async fn reset_breaker(&self, name: &str, act: Act) -> Result<BreakerStatus, Fault> {
        let policy = self.guard(name)?;
        let wanted = self.wanted(&policy, BreakerState::Closed, None);
        let at = wanted.since;
        self.store.set_breaker(wanted, act).await?;
        policy.breaker().reset(at);
        Ok(standing(&policy))
    }

    fn wanted(&self, policy: &Policy, state: BreakerState, tripped: Option<BreakerTrip>) -> BreakerRecord {
        let (view, now) = (policy.breaker().view(), self.clock.now());
        BreakerRecord {
            name: view.name.to_string(),
            state,
            since: now,
            opened_at: now,
            why: None,
            tripped,
            opened: view.opened,
        }
    }

    fn guard(&self, name: &str) -> Result<Policy, Fault> {
        self.monitor.policies().get(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            Fault::new(FaultKind::NotFound, format!("cannot find a breaker `{}`", shown.escape_debug())).hint(
                "`agentctl breaker list` names them: one for each dependency, and for each policy of a check",
            )
        })
    }
}
