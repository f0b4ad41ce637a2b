//! From one candidate to the whole fleet: only what was compared and found no worse, by the deployment that any release
//! takes; and the word on how that ended.
use super::{ending::own_act, service::Rollouts};
use crate::{
    deploy::Wish,
    domain::{
        Act, AgentName, Digest, Fault, FaultKind, OperationId, OperationState, Principal, Rollout,
        RolloutState, WayKind, Worth,
    },
    store::RolloutMove,
};

pub struct Promotion {
    pub agent: AgentName,
    /// Of the deployment that was looked at.
    pub seen: Digest,
    /// Go on although the comparison or the validation does not say so.
    pub unproved: bool,
    pub reason: String,
}

impl Rollouts {
    /// Ends the candidate and begins the deployment of its release. Everything that can be refused is refused while the
    /// candidate still runs.
    pub async fn promote(
        &self,
        wish: Promotion,
        by: Principal,
        act: Act,
    ) -> Result<(Rollout, OperationId), Fault> {
        let _turn = self.turn()?;
        let Promotion { agent, seen, unproved, reason } = wish;
        let parts = &self.0.parts;
        let rollout = self.show(&agent).await?.rollout;
        let cannot = |kind, why: String| {
            Fault::new(kind, format!("cannot promote {} for {agent}: {why}", rollout.release))
        };
        if rollout.state != RolloutState::Trying {
            return Err(cannot(FaultKind::Conflict, format!("its rollout is {}", rollout.state)));
        }
        let comparison = self.comparison(&agent);
        let worth = comparison.as_ref().map_or(Worth::Unmeasured, |seen| seen.worth);
        if !matches!(worth, Worth::Same | Worth::Better) && !unproved {
            let because = comparison.map(|seen| seen.because.join("; ")).unwrap_or_default();
            let because = if because.is_empty() { "it has not been compared yet".into() } else { because };
            return Err(cannot(FaultKind::Refused, format!("it is {worth}: {because}")).hint(format!(
                "`agentctl rollout show {agent}` has the figures; --unproved --reason TEXT goes on all the same"
            )));
        }
        let way = Wish { kind: WayKind::Deploy, to: Some(rollout.release), backup: None, unproved };
        let plan = parts.ways.plan(&way, &by).await?;
        if !plan.against.is_empty() {
            return Err(cannot(FaultKind::Refused, plan.against.join("; "))
                .hint("nothing was changed; the candidate still runs"));
        }
        if plan.digest != seen {
            return Err(cannot(
                FaultKind::Conflict,
                "the plan that was looked at is not the plan any more".into(),
            )
            .hint("look at the plan again; the candidate still runs"));
        }
        let (rollout, comparison) = self.take(&agent, "promote").await?;
        let why = format!("{worth}: {reason}");
        let mut wanted =
            RolloutMove { id: rollout.id, to: RolloutState::Promoting, why, operation: None, comparison };
        let rollout = parts.store.move_rollout(act.clone(), wanted.clone()).await?;
        let begun = async {
            parts.hands.supervisor.end_candidate(&agent).await?;
            parts.ways.begin(&way, seen, &by, &reason).await
        };
        let operation = match begun.await {
            Ok(operation) => operation,
            Err(fault) => {
                let why = format!("the deployment could not be begun: {}", fault.message);
                self.noted(self.end_by_itself(&rollout, RolloutState::Failed, why, None).await);
                return Err(fault);
            }
        };
        wanted.operation = Some(operation);
        let rollout = parts.store.move_rollout(act, wanted).await?;
        tokio::spawn(self.clone().follow(rollout.clone(), operation));
        Ok((rollout, operation))
    }

    /// After a restart of agentd. One whose deployment was begun and not written down is known by what it does.
    pub(super) async fn follow_again(self, rollout: Rollout) {
        let title = format!("deploy {}", rollout.release);
        let begun = || {
            let all = self.0.parts.operations.list(u32::MAX);
            all.into_iter().find(|it| it.title == title && it.begun_at >= rollout.since).map(|it| it.id)
        };
        if let Some(operation) = rollout.operation.or_else(begun) {
            self.follow(rollout, operation).await;
        } else {
            let why = "agentd ended before the deployment was begun".into();
            self.noted(self.end_by_itself(&rollout, RolloutState::Failed, why, None).await);
        }
    }

    async fn follow(self, rollout: Rollout, id: OperationId) {
        // Where agentd ends before, the next one follows it.
        let Ok(operation) = self.0.parts.operations.settled(id).await else { return };
        let (to, why) = match operation.state {
            OperationState::Succeeded => (RolloutState::Promoted, format!("{id} brought the fleet to it")),
            state => {
                let because = operation.why.map(|why| format!(": {}", why.message)).unwrap_or_default();
                (RolloutState::Failed, format!("{id} is {}{because}", state.as_str()))
            }
        };
        let wanted = RolloutMove { id: rollout.id, to, why, operation: Some(id), comparison: None };
        let moved = self.0.parts.store.move_rollout(own_act(&rollout), wanted).await;
        self.noted(moved.map(drop).map_err(Fault::from));
    }
}
