//! May this release be tried for this agent? Everything that can be refused is, before anything is started.
use super::{
    look::{Question, questions},
    service::RolloutsParts,
};
use crate::{
    agents::{Candidate, Channels},
    config::{AgentSettings, Settings},
    domain::{AgentName, Fault, FaultKind, ReleaseId},
};
use std::sync::Arc;
use tokio::task::spawn_blocking;

pub struct Fitted {
    pub candidate: Candidate,
    pub questions: Vec<Question>,
    pub channels: Channels,
    /// What it is compared with.
    pub stable: AgentSettings,
}

pub async fn fit(parts: &RolloutsParts, agent: &AgentName, id: ReleaseId) -> Result<Fitted, Fault> {
    let hands = &parts.hands;
    let refused = |why: String| Fault::new(FaultKind::Refused, format!("cannot try {agent} of {id}: {why}"));
    let in_force = hands.settings.borrow().clone();
    let stable = of(&in_force, agent).filter(|stable| stable.enabled).cloned();
    let stable = stable.ok_or_else(|| {
        Fault::not_found(format!("cannot try {agent}: the configuration in force enables no such agent"))
            .hint("`agentctl agent list` shows those there are")
    })?;
    let release = hands.releases.get(id).await?.standing.release;
    if hands.releases.current().await? == Some(id) {
        return Err(refused("it is what runs".into()).hint("try another: `agentctl release list`"));
    }
    let artifact =
        release.agents.iter().find(|known| known.name == *agent).and_then(|it| it.artifact.as_ref());
    if artifact.is_none() {
        return Err(refused(format!("the release holds no artifact of {agent}"))
            .hint("declare `artifact` for the agent, and create another release"));
    }
    let found = hands.releases.verify(id).await?;
    if !found.sound {
        let message = format!("cannot try {agent} of {id}: {}", found.problems.join("; "));
        return Err(Fault::new(FaultKind::Conflict, message)
            .hint("it is not what was recorded: make a new release, or try another"));
    }
    let settings = if release.config.is_some() {
        let file = hands.releases_dir.join(id.to_string()).join("agentd.toml");
        let reload = Arc::clone(hands.reload()?);
        spawn_blocking(move || reload.read(&file))
            .await
            .map_err(|panic| Fault::internal(format!("cannot read a configuration: {panic}")))??
    } else {
        in_force
    };
    let wanted = of(&settings, agent).filter(|wanted| wanted.enabled).cloned();
    let wanted = wanted.ok_or_else(|| refused(format!("its configuration enables no {agent}")))?;
    let candidate = Candidate { settings: wanted, release: id };
    let channels = hands.supervisor.check_candidate(&candidate)?;
    let questions = questions(&candidate.settings, &stable, channels)?;
    Ok(Fitted { candidate, questions, channels, stable })
}

pub fn of<'a>(settings: &'a Settings, agent: &AgentName) -> Option<&'a AgentSettings> {
    settings.agents.iter().find(|known| known.name == *agent)
}
