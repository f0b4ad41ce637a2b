//! `Rehearsals`: what others ask of this room.
use super::{
    stand::{Chosen, Stand},
    steps::{Part, STEPS},
};
use crate::{
    agents::used_by_fleet,
    domain::{
        AgentName, ByteSize, Fault, FaultCategory, FaultKind, OnFailure, OperationId, Principal, Rehearsal,
        ReleaseId, StepName, nearest,
    },
    operations::{Blueprint, Operations},
};
use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use std::{fs, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};

/// What nothing else may hold at the same time.
const RESOURCE: &str = "rehearsal";
/// What the end of one may take at the end of the daemon, before it is killed.
const FAREWELL: Duration = Duration::from_secs(8);
/// Beside the copy of the database: logs, and a file system that is never filled to the last block.
const SPARE: u64 = 64 << 20;

#[derive(Clone)]
pub struct Rehearsals {
    stand: Arc<Stand>,
    operations: Operations,
}

/// What is to be rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalWish {
    /// None: what a rollback would return to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseId>,
    /// Agents that are not started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<AgentName>,
}

impl Rehearsals {
    pub fn new(stand: Arc<Stand>, operations: Operations) -> Self {
        Self { stand, operations }
    }

    /// What a daemon that was ended in the middle left. Before anything of it is gone on with.
    pub async fn clear(&self) -> Result<(), Fault> {
        self.stand.clear().await
    }

    /// At the end of the daemon: no process of a rehearsal outlives it. What was under way ends at the next start.
    pub async fn shutdown(&self) {
        let ended = timeout(FAREWELL, self.stand.end()).await;
        if !matches!(ended, Ok(Ok(_)))
            && let Err(fault) = self.stand.clear().await
        {
            tracing::error!(%fault, "a rehearsal was not ended");
        }
    }

    /// Refused where it could touch what is live, or where there is no room for it.
    pub async fn begin(&self, wish: RehearsalWish, by: &Principal) -> Result<OperationId, Fault> {
        let parts = &self.stand.parts;
        let Some(release) = (match wish.to {
            Some(named) => Some(named),
            None => parts.releases.previous_stable().await?,
        }) else {
            let message = "cannot rehearse a return: there is no release to return to";
            return Err(Fault::new(FaultKind::Refused, message).hint(
                "none but what runs has ever been stable: `agentctl release bless`, or name one with --to",
            ));
        };
        let chosen = self.stand.choose(release, &wish.without).await?;
        known(&chosen, &wish.without)?;
        let refused = |why: String, hint: String| {
            let message = format!("cannot rehearse a return to {release}: {why}");
            Err(Fault::new(FaultKind::Refused, message).hint(hint))
        };
        if !chosen.against.is_empty() {
            let hint =
                "nothing was started; [rehearsal.env] names what agents get in the place of what is live";
            return refused(chosen.against.join("; "), hint.into());
        }
        if chosen.cast.agents.is_empty() {
            let left = chosen.cast.left_out.iter().map(|left| format!("{}: {}", left.agent, left.why));
            let why = left.collect::<Vec<_>>().join("; ");
            let why = if why.is_empty() { "it has no agents".to_owned() } else { why };
            return refused(
                format!("nothing of it can be started ({why})"),
                "nothing would be proved".into(),
            );
        }
        self.room(&chosen).await?;
        let part = Part { release, from: chosen.from, without: wish.without, by: by.clone() };
        let blueprint = Blueprint {
            kind: "rehearsal",
            title: format!("rehearse a return to {release}"),
            resource: RESOURCE.into(),
            steps: STEPS.iter().map(|name| StepName::from(*name)).collect(),
            on_failure: OnFailure::Unwind,
            budget: None,
            arguments: serde_json::to_value(part)
                .map_err(|error| Fault::internal(format!("cannot write down a rehearsal: {error}")))?,
        };
        self.operations.begin(blueprint, by.clone()).await
    }

    /// The newest first.
    pub async fn list(&self, limit: u32) -> Result<Vec<Rehearsal>, Fault> {
        Ok(self.stand.parts.store.rehearsals(limit).await?)
    }

    /// It must not take from the living fleet what that needs: half as much again as its agents use is to be free.
    async fn room(&self, chosen: &Chosen) -> Result<(), Fault> {
        let parts = &self.stand.parts;
        let (dir, disk) = (parts.paths.state_dir.clone(), parts.store.size().saturating_mul(2) + SPARE);
        let fleet_id = parts.supervisor.fleet_id().to_owned();
        let agents: Vec<AgentName> = chosen.cast.agents.iter().map(|agent| agent.name.clone()).collect();
        let look = spawn_blocking(move || {
            let free = statvfs(&dir).map(|seen| seen.f_bavail.saturating_mul(seen.f_frsize)).ok();
            let used = used_by_fleet(&fleet_id);
            let of =
                used.iter().filter(|(instance, _)| instance.index == 0 && agents.contains(&instance.agent));
            let memory: u64 = of.map(|(_, usage)| usage.memory_bytes).sum();
            (free, memory + memory / 2, available_memory())
        });
        let (free, memory, available) =
            look.await.map_err(|panic| Fault::internal(format!("cannot look for room: {panic}")))?;
        enough("disk", disk, free)?;
        enough("memory", memory, available)
    }
}

/// Where it cannot be known how much there is, nothing is refused for that.
fn enough(what: &str, needed: u64, there: Option<u64>) -> Result<(), Fault> {
    let Some(there) = there.filter(|there| *there < needed) else { return Ok(()) };
    let (needed, there) = (ByteSize(needed), ByteSize(there));
    let message = format!(
        "cannot rehearse beside the living fleet: it may take {needed} of {what}, and {there} are free"
    );
    Err(Fault::new(FaultKind::Refused, message)
        .category(FaultCategory::Resource)
        .hint("make room, or leave out what is large with --without AGENT; nothing was started"))
}

fn known(chosen: &Chosen, without: &[AgentName]) -> Result<(), Fault> {
    let names = || chosen.recorded.agents.iter().map(|agent| agent.name.as_str());
    let Some(wrong) = without.iter().find(|name| names().all(|known| known != name.as_str())) else {
        return Ok(());
    };
    let fault = Fault::usage(format!("cannot leave out {wrong}: {} has no such agent", chosen.release.id));
    Err(match nearest(wrong.as_str(), names()) {
        Some(meant) => fault.hint(format!("did you mean {meant}?")),
        None => fault.hint(format!("`agentctl release show {}` names its agents", chosen.release.id)),
    })
}

/// What the kernel could give without swapping, as proc_meminfo(5) has it.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_beside_the_living_fleet_is_refused() {
        assert!(enough("disk", 10, Some(10)).is_ok() && enough("disk", 10, None).is_ok());
        let fault = enough("memory", 2 << 30, Some(1 << 30)).expect_err("begun");
        assert!(fault.kind == FaultKind::Refused && fault.message.contains("of memory"), "{fault:?}");
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
