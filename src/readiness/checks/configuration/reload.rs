//! A scratch fleet's daemon is told to reload, first a manifest that is wrong, then one that holds.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, tried};
use crate::{
    config::Settings,
    domain::Fault,
    readiness::{
        Evidence, Found, Ground, Proof, Reload, ScratchFleet, Stage, check::settle,
        scratch_fleet::script_agent,
    },
};
#[cfg(test)]
use futures_util::FutureExt;
use serde_json::json;
use std::{fs, sync::Arc, time::Duration};

const PATIENCE: Duration = Duration::from_secs(10);
const SLEEPS: &str = "exec sleep 600";

pub async fn refused_whole(evidence: &Evidence) -> Found {
    match evidence.reload.clone() {
        Some(reload) => exercise(&evidence.ground, reload).await,
        None => Found::skipped("the daemon gave no reload to try"),
    }
}

async fn exercise(ground: &Ground, reload: Arc<dyn Reload>) -> Found {
    let exercise = async {
        let overlay = json!({ "agent": [script_agent("steady", "service", SLEEPS)] });
        let fleet = ground.fleet(overlay, false).await?;
        let Some(pid) = pid_of(&fleet, "steady").await else {
            return Ok(Found::error("the scratch agent did not come up"));
        };
        let before = Arc::new(fleet.settings().clone());
        let mut proof = Proof::default();
        // Of two changes that it brings, the first alone would hold.
        let wrong = manifest("exec sleep 601", "intruder").replace("tier =", "teir =");
        let after = told(ground, &fleet, &reload, &before, &wrong).await?;
        let said = after.refused.as_deref().and_then(|said| said.lines().next());
        proof.holds(
            said.is_some(),
            match said {
                Some(said) => format!("a manifest with a misspelt key was refused: {said}"),
                None => "a manifest with a misspelt key was taken".into(),
            },
        );
        unchanged(&mut proof, &before, &after.settings);
        let intruder = fleet.supervisor().snapshot().agent("intruder").is_some();
        let did = if intruder { "was added all the same" } else { "was not added" };
        proof.holds(!intruder, format!("the agent that it would have added {did}"));
        same_process(&mut proof, &fleet, pid).await;

        let after = told(ground, &fleet, &reload, &before, &manifest(SLEEPS, "newcomer")).await?;
        let taken = after.refused.is_none();
        proof.holds(
            taken,
            match after.refused {
                None => "the same manifest without the mistake was taken".into(),
                Some(said) => format!("the same manifest without the mistake was refused: {said}"),
            },
        );
        let came = taken && pid_of(&fleet, "newcomer").await.is_some();
        proof.holds(came, format!("the agent that it adds {}", if came { "runs" } else { "does not run" }));
        same_process(&mut proof, &fleet, pid).await;
        fleet.finish().await;
        Ok(proof.judge("a wrong manifest changed nothing, and a sound one only what it says"))
    };
    settle(exercise.await)
}

async fn told(
    ground: &Ground,
    fleet: &ScratchFleet,
    reload: &Arc<dyn Reload>,
    settings: &Arc<Settings>,
    manifest: &str,
) -> Result<crate::readiness::Reloaded, Fault> {
    let path = fleet.path().join("agentd.toml");
    fs::write(&path, manifest)
        .map_err(|error| Fault::internal(format!("cannot write a scratch manifest: {error}")))?;
    let stage = Stage {
        manifest: path,
        settings: settings.clone(),
        paths: fleet.paths().clone(),
        store: fleet.store().clone(),
        supervisor: fleet.supervisor().clone(),
        clock: ground.clock(),
    };
    Ok(reload.reload(stage).await)
}

/// The scratch agent as `script_agent` has it, and another.
fn manifest(script: &str, other: &str) -> String {
    let agent = |name: &str, script: &str| {
        format!(
            "[[agent]]\nname = \"{name}\"\nkind = \"service\"\ntier = \"scratch\"\nstart_timeout = \"30s\"\n\
             stop_timeout = \"400ms\"\nuser = \"inherit\"\n\
             options = {{ command = [\"/bin/sh\", \"-c\", \"{script}\"] }}\n"
        )
    };
    format!("schema = 1\n{}{}", agent("steady", script), agent(other, SLEEPS))
}

fn unchanged(proof: &mut Proof, before: &Settings, after: &Settings) {
    let same = before == after;
    proof.holds(same, format!("the settings in force {}", if same { "stayed" } else { "changed" }));
}

async fn same_process(proof: &mut Proof, fleet: &ScratchFleet, pid: i32) {
    let now = pid_of(fleet, "steady").await;
    proof.holds(
        now == Some(pid),
        match now {
            Some(now) if now == pid => "the agent that runs was left alone",
            Some(_) => "the agent that runs was restarted",
            None => "the agent that runs was stopped",
        },
    );
}

/// The process of an agent that runs, or that comes up in time.
async fn pid_of(fleet: &ScratchFleet, agent: &str) -> Option<i32> {
    let up = fleet.instance(agent, PATIENCE, |_, now| now.state.is_up() && now.pid.is_some());
    up.await.and_then(|now| now.pid)
}

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "CF-015",
    at_work: || {
        let broken =
            [Manners::AppliesWhatItCan, Manners::RefusesAll, Manners::RestartsFirst, Manners::ForgetsToKeep]
                .map(|manners| (manners.what(), Arc::new(Daemon(manners)) as Arc<dyn Reload>));
        let sound: Arc<dyn Reload> = Arc::new(Daemon(Manners::Sound));
        tried(exercise, sound, broken).boxed()
    },
};

/// A daemon's reload as it should be, and as it should not.
#[cfg(test)]
struct Daemon(Manners);

#[cfg(test)]
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Sound,
    AppliesWhatItCan,
    RefusesAll,
    RestartsFirst,
    ForgetsToKeep,
}

#[cfg(test)]
impl Manners {
    fn what(self) -> &'static str {
        match self {
            Self::Sound => "nothing",
            Self::AppliesWhatItCan => "a reload that applies what it can of a wrong manifest",
            Self::RefusesAll => "a reload that refuses everything",
            Self::RestartsFirst => "a reload that restarts agents before it reads",
            Self::ForgetsToKeep => "a reload that refuses and yet puts other settings in force",
        }
    }
}

#[cfg(test)]
impl Reload for Daemon {
    fn reload(&self, stage: Stage) -> futures_util::future::BoxFuture<'_, crate::readiness::Reloaded> {
        use crate::config::{Sources, load};
        async move {
            let mut settings = stage.settings.clone();
            if self.0 == Manners::RestartsFirst {
                let names: Vec<_> = settings.agents.iter().map(|agent| agent.name.clone()).collect();
                stage.supervisor.restart(&names).await.expect("restarted");
            }
            let mut refused = None;
            let text = fs::read_to_string(&stage.manifest).expect("a manifest");
            if self.0 == Manners::AppliesWhatItCan {
                fs::write(&stage.manifest, text.replace("teir", "tier")).expect("written");
            }
            match load(&Sources::file(&stage.manifest), &super::loader::kinds()) {
                _ if self.0 == Manners::RefusesAll => refused = Some("no".into()),
                Ok(loaded) => {
                    let mut fresh = Settings::clone(&loaded.settings);
                    fresh.daemon = settings.daemon.clone();
                    settings = Arc::new(fresh);
                    stage.supervisor.apply(settings.clone()).await.expect("applied");
                }
                Err(problems) => {
                    refused = Some(problems.headline());
                    if self.0 == Manners::ForgetsToKeep {
                        settings = Arc::new(Settings::default());
                    }
                }
            }
            crate::readiness::Reloaded { refused, settings }
        }
        .boxed()
    }
}
