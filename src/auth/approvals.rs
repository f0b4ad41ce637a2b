//! Approvals: somebody else's yes to one exact action. Who may give one is decided by facts of the kernel: an agent
//! never, whatever it shows, and nobody where nothing but goodwill keeps an agent from acting as the operator.
use crate::{
    config::{ApprovedBy, Settings},
    domain::{
        Act, Action, Approval, ApprovalState, ApprovalStep, Caller, Fault, FaultKind, PrincipalKind, Role,
        Separation, one_line,
    },
    resilience::Clock,
    store::{Asking, Decision, Store},
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::watch;

/// Nobody reads more than that before they say yes.
const LONGEST_REQUEST: usize = 64 << 10;
const LONGEST_REASON: usize = 1_000;
/// No process: what the kernel answers where it cannot tell.
const NOBODY: u32 = u32::MAX;

#[derive(Clone)]
pub struct Approvals {
    settings: watch::Receiver<Arc<Settings>>,
    store: Store,
    clock: Clock,
}

impl Approvals {
    pub fn new(settings: watch::Receiver<Arc<Settings>>, store: Store, clock: Clock) -> Self {
        Self { settings, store, clock }
    }

    /// Does the manifest make this endpoint wait for somebody's yes?
    pub fn needed(&self, endpoint: &str) -> bool {
        self.settings.borrow().approvals.required.contains(endpoint)
    }

    /// Lets one exact action through if it was approved, and takes the approval: it is spent whatever becomes of the
    /// action. Else asks for one, and refuses. `apart` is the weakest separation of the fleet.
    pub async fn claim(&self, caller: &Caller, action: Action, apart: Separation) -> Result<(), Fault> {
        let name = action.action.clone();
        separate(&format!("do {name}"), "it needs an approval, and", apart)?;
        if is_agent(caller) {
            return Err(no_agent(&format!("ask for an approval of {name}"), caller));
        }
        if action.request.to_string().len() > LONGEST_REQUEST {
            return Err(Fault::usage(format!(
                "cannot ask for an approval of {name}: the request is longer than {LONGEST_REQUEST} bytes, and \
                 somebody must read it"
            )));
        }
        let digest = digest(&action);
        let (by, uid) = (caller.principal.clone(), caller.identity.uid);
        let act = Act::new(caller, "approvals/use", "");
        if self.store.use_approval(act, digest.clone(), by.clone(), uid).await?.is_some() {
            return Ok(());
        }
        let asking = Asking { action, digest, by, uid, expires_at: self.later() };
        let approval = self.store.ask_approval(Act::new(caller, "approvals/ask", ""), asking).await?;
        Err(self.waits(&name, &approval))
    }

    /// Says yes. Refuses an agent, who asks for it, and everybody where a yes would prove nothing.
    pub async fn give(&self, caller: &Caller, id: u64, apart: Separation) -> Result<Approval, Fault> {
        self.may_give(caller, &self.find(id).await?, apart)?;
        self.decide(caller, id, ApprovalStep::Give, String::new()).await
    }

    /// Says no, or takes a yes back that was not used yet. A no needs no proof of who says it beyond the permission.
    pub async fn deny(&self, caller: &Caller, id: u64, reason: &str) -> Result<Approval, Fault> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
            return Err(Fault::usage(format!(
                "cannot deny approval {id}: --reason takes 1 to {LONGEST_REASON} characters"
            )));
        }
        self.decide(caller, id, ApprovalStep::Deny, one_line(reason)).await
    }

    /// Who asked no longer wants it.
    pub async fn withdraw(&self, caller: &Caller, id: u64) -> Result<Approval, Fault> {
        let approval = self.find(id).await?;
        if caller.principal != approval.asked_by || caller.identity.uid != approval.asked_uid {
            return Err(Fault::new(
                FaultKind::Forbidden,
                format!("cannot withdraw approval {id}: {} asked for it", asker(&approval)),
            )
            .hint(format!("`agentctl approval deny {id} --reason …` says no to it")));
        }
        self.decide(caller, id, ApprovalStep::Withdraw, String::new()).await
    }

    pub async fn find(&self, id: u64) -> Result<Approval, Fault> {
        let approval = self.store.approval(id).await?.ok_or_else(|| absent(id))?;
        Ok(self.seen(approval))
    }

    /// Newest first: those that are open, or all that are kept.
    pub async fn list(&self, all: bool) -> Result<Vec<Approval>, Fault> {
        let list = self.store.approvals(all).await?;
        Ok(list.into_iter().map(|approval| self.seen(approval)).collect())
    }

    /// One that lapsed says so, whether or not that was written down.
    fn seen(&self, mut approval: Approval) -> Approval {
        approval.state = approval.state_at(self.clock.now());
        approval
    }

    fn may_give(&self, caller: &Caller, approval: &Approval, apart: Separation) -> Result<(), Fault> {
        let what = format!("give approval {}", approval.id);
        if is_agent(caller) {
            return Err(no_agent(&what, caller));
        }
        separate(&what, "a yes would prove nothing, for", apart)?;
        if caller.identity.uid == NOBODY {
            return Err(Fault::new(
                FaultKind::Forbidden,
                format!("cannot {what}: the kernel does not say who asks"),
            )
            .hint("give it on the machine itself, over the daemon's socket"));
        }
        let own = caller.principal == approval.asked_by || caller.identity.uid == approval.asked_uid;
        match self.settings.borrow().approvals.by {
            ApprovedBy::Another if own => Err(Fault::new(
                FaultKind::Refused,
                format!("cannot {what}: {} asked for it, and that is you", asker(approval)),
            )
            .hint("somebody else gives it, as another Unix user with approval.give: see [access] in agentd.toml")),
            ApprovedBy::Another | ApprovedBy::Anybody => Ok(()),
        }
    }

    async fn decide(
        &self,
        caller: &Caller,
        id: u64,
        step: ApprovalStep,
        reason: String,
    ) -> Result<Approval, Fault> {
        let action = match step {
            ApprovalStep::Give => "approvals/give",
            ApprovalStep::Deny => "approvals/deny",
            ApprovalStep::Withdraw | ApprovalStep::Use | ApprovalStep::Lapse => "approvals/withdraw",
        };
        let decision = Decision {
            step,
            by: caller.principal.clone(),
            uid: caller.identity.uid,
            reason,
            expires_at: (step == ApprovalStep::Give).then(|| self.later()),
        };
        let decided = self.store.decide_approval(Act::new(caller, action, ""), id, decision).await?;
        decided.ok_or_else(|| absent(id))
    }

    /// When what is asked or given now lapses.
    fn later(&self) -> Timestamp {
        let valid_for = self.settings.borrow().approvals.valid_for;
        let valid_for = SignedDuration::try_from(valid_for.0).unwrap_or(SignedDuration::MAX);
        self.clock.now().checked_add(valid_for).unwrap_or(FAR)
    }

    fn waits(&self, name: &str, approval: &Approval) -> Fault {
        let id = approval.id;
        if let (ApprovalState::Denied, Some(no)) = (approval.state, &approval.decided) {
            let message = format!("cannot do {name}: {} denied approval {id}: {}", no.by, no.reason);
            let until = approval.expires_at.strftime("%Y-%m-%d %H:%MZ");
            return Fault::new(FaultKind::Refused, message)
                .hint(format!("it stands until {until}; another request is another action"));
        }
        let who = match self.settings.borrow().approvals.by {
            ApprovedBy::Another => "somebody else",
            ApprovedBy::Anybody => "somebody",
        };
        Fault::new(
            FaultKind::Refused,
            format!("cannot do {name} without {who}'s approval: approval {id} waits for it"),
        )
        .hint(format!(
            "{who} looks with `agentctl approval show {id}` and says `agentctl approval give {id}`; then repeat \
             exactly this command within {}",
            self.settings.borrow().approvals.valid_for
        ))
    }
}

/// The last day that the store can write down, roughly.
const FAR: Timestamp = Timestamp::constant(9_000_000_000, 0);

/// SHA-256 over each part with its length before it, so that no two actions read alike.
fn digest(action: &Action) -> String {
    let Action { action, object, request } = action;
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for part in ["agentd approval 1", action, object, &request.to_string()] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// By what the kernel says of its process, or by what it bears: each alone is enough.
fn is_agent(caller: &Caller) -> bool {
    caller.agent.is_some() || caller.role == Role::Agent || caller.principal.kind == PrincipalKind::Agent
}

fn no_agent(what: &str, caller: &Caller) -> Fault {
    let who = match &caller.agent {
        Some(agent) => format!("agent {agent}"),
        None => caller.principal.to_string(),
    };
    Fault::new(FaultKind::Forbidden, format!("cannot {what}: {who} is an agent, and no agent may"))
        .hint("a person with approval.give does, from a process that belongs to no agent")
}

fn separate(what: &str, why: &str, apart: Separation) -> Result<(), Fault> {
    match apart {
        Separation::OwnUser => Ok(()),
        // A cgroup can be left by a process of the same uid.
        Separation::OwnCgroup | Separation::None => Err(Fault::new(
            FaultKind::Refused,
            format!("cannot {what}: {why} nothing but goodwill separates an agent from the operator"),
        )
        .hint(
            "run agentd as root, where each agent gets a user of its own (user = \"auto\"), or name a `user` for it; \
             `agentctl agent show NAME` says what separates each",
        )),
    }
}

fn asker(approval: &Approval) -> String {
    format!("{} (uid {})", approval.asked_by, approval.asked_uid)
}

fn absent(id: u64) -> Fault {
    Fault::not_found(format!("cannot find approval {id}")).hint("`agentctl approval list --all` shows them")
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
