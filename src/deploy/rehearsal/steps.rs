//! The steps of a rehearsal. What the release is at fault for is handed on to the last, which records it; what keeps a
//! rehearsal from being held at all fails where it is met, and is recorded nowhere.
use super::{
    stage::{Seen, Stage},
    stand::Stand,
};
use crate::{
    domain::{
        Act, AgentName, Fault, FaultKind, LeftOut, Principal, Rehearsal, RehearsedAgent, Release, ReleaseId,
    },
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

pub const COPY: &str = "rehearse-copy";
pub const START: &str = "rehearse-start";
pub const PROBE: &str = "rehearse-probe";
pub const DISCARD: &str = "rehearse-discard";
pub const RECORD: &str = "rehearse-record";
pub const STEPS: [&str; 5] = [COPY, START, PROBE, DISCARD, RECORD];

/// Beyond what the commands and the agents may take.
const MARGIN: Duration = Duration::from_secs(120);
/// What copying a large database may take.
const COPYING: Duration = Duration::from_secs(1800);

/// What every step is handed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    pub release: ReleaseId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<AgentName>,
    pub by: Principal,
}

/// What the first leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Copied {
    at: Timestamp,
    bytes: u64,
    problems: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Started {
    agents: Vec<AgentName>,
    left_out: Vec<LeftOut>,
    unproved: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Looked {
    agents: Vec<RehearsedAgent>,
    problems: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Discarded {
    survivors: usize,
    problems: Vec<String>,
}

/// Every step, for the registry of operations.
pub fn rehearsal_steps(stand: &Arc<Stand>) -> Vec<Arc<dyn Step>> {
    STEPS.iter().map(|name| Arc::new(One { name, stand: Arc::clone(stand) }) as Arc<dyn Step>).collect()
}

struct One {
    name: &'static str,
    stand: Arc<Stand>,
}

impl Step for One {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        match self.name {
            COPY => "Verify the release, and copy today's database aside",
            START => "Start it on the copy, under ports of its own",
            PROBE => "See whether it comes up, and stays",
            DISCARD => "Take all of it away again",
            _ => "Record what came of it",
        }
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let part: Part = read(Some(at.arguments()))?;
            match self.name {
                COPY => written(self.copy(&part, at).await?),
                START => written(self.start(&part, at).await?),
                PROBE => written(self.probe(&part, at).await?),
                DISCARD => written(self.discard(&part).await?),
                _ => self.record(part, at).await,
            }
        })
    }

    /// The first takes everything away that there may be, unless that was done; the others leave nothing beside it.
    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            if self.name != COPY || at.left(DISCARD).is_some() {
                return Ok(());
            }
            let part: Part = read(Some(at.arguments()))?;
            let ended = self.stand.end().await;
            self.stand.outside("discard", part.release, part.from).await?;
            ended.map(drop)
        })
    }

    fn deadline(&self) -> Duration {
        let declared = self.stand.parts.settings.borrow().rehearsal.deadline.0;
        declared + if self.name == COPY { COPYING } else { MARGIN }
    }
}

impl One {
    async fn copy(&self, part: &Part, at: &Site) -> Result<Copied, Fault> {
        let parts = &self.stand.parts;
        let begun = parts.clock.now();
        let found = parts.releases.verify(part.release).await?;
        if !found.sound {
            return Ok(Copied { at: begun, bytes: 0, problems: found.problems });
        }
        let release = self.release(part).await?;
        at.note("copying the database");
        let bytes = self.stand.copy(&release, part.from, at.cancelled().clone()).await?;
        Ok(Copied { at: begun, bytes, problems: Vec::new() })
    }

    async fn start(&self, part: &Part, at: &Site) -> Result<Started, Fault> {
        if !left::<Copied>(at, COPY)?.problems.is_empty() {
            return Ok(Started::default());
        }
        // Chosen anew: what was free a moment ago need not be so now.
        let chosen = self.stand.choose(part.release, &part.without).await?;
        if !chosen.against.is_empty() {
            let why = chosen.against.join("; ");
            return Err(Fault::new(FaultKind::Refused, format!("cannot start {}: {why}", part.release)));
        }
        self.stand.launch(&chosen).await?;
        Ok(Started {
            agents: chosen.cast.agents.iter().map(|agent| agent.name.clone()).collect(),
            left_out: chosen.cast.left_out,
            unproved: chosen.cast.unproved,
        })
    }

    async fn probe(&self, part: &Part, at: &Site) -> Result<Looked, Fault> {
        if !left::<Copied>(at, COPY)?.problems.is_empty() {
            return Ok(Looked::default());
        }
        let deadline = self.stand.parts.settings.borrow().rehearsal.deadline;
        let view = self.stand.look(Stage::view)?;
        let Seen { agents, problems } = view.watch(part.release, deadline, at).await?;
        Ok(Looked { agents, problems })
    }

    async fn discard(&self, part: &Part) -> Result<Discarded, Fault> {
        let survivors = self.stand.end().await?;
        let cleared = self.stand.outside("discard", part.release, part.from).await;
        Ok(Discarded { survivors, problems: cleared.err().map(|fault| fault.message).into_iter().collect() })
    }

    /// Fails where the release did, so that the operation does not look like one that went well.
    async fn record(&self, part: Part, at: &Site) -> Result<Value, Fault> {
        let (copied, started): (Copied, Started) = (left(at, COPY)?, left(at, START)?);
        let (looked, discarded): (Looked, Discarded) = (left(at, PROBE)?, left(at, DISCARD)?);
        let release = self.release(&part).await?;
        let parts = &self.stand.parts;
        let took = Duration::try_from(parts.clock.now().duration_since(copied.at)).unwrap_or_default();
        let mut unproved = started.unproved;
        if discarded.survivors > 0 {
            unproved.push(format!("{} processes outlived their stop and were killed", discarded.survivors));
        }
        let problems: Vec<String> =
            copied.problems.into_iter().chain(looked.problems).chain(discarded.problems).collect();
        let rehearsal = Rehearsal {
            id: 0,
            operation: at.operation(),
            release: part.release,
            content: release.content,
            at: copied.at,
            by: part.by.clone(),
            took: crate::domain::Period::millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            copy_bytes: copied.bytes,
            agents: looked.agents,
            left_out: started.left_out,
            unproved,
            problems,
        };
        let uid = rustix::process::geteuid().as_raw();
        let act = Act::of_daemon(uid, format!("operation {}", at.operation()), "rehearsals/record");
        let problem = rehearsal.problems.first().cloned();
        parts.store.record_rehearsal(Act { principal: part.by, ..act }, rehearsal).await?;
        match problem {
            None => Ok(Value::Null),
            Some(why) => Err(Fault::new(
                FaultKind::Unavailable,
                format!("cannot call a return to {} safe: {why}", part.release),
            )
            .hint("`agentctl rollback rehearsals` says what each agent said last")),
        }
    }

    async fn release(&self, part: &Part) -> Result<Release, Fault> {
        Ok(self.stand.parts.releases.get(part.release).await?.standing.release)
    }
}

fn left<T: DeserializeOwned>(at: &Site, step: &str) -> Result<T, Fault> {
    read(at.left(step))
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Result<T, Fault> {
    let value = value.cloned().unwrap_or_default();
    serde_json::from_value(value)
        .map_err(|error| Fault::internal(format!("cannot read what a step of a rehearsal left: {error}")))
}

fn written(left: impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(left).map_err(|error| {
        Fault::internal(format!("cannot write down what a step of a rehearsal left: {error}"))
    })
}
