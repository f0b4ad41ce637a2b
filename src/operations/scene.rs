//! What the tests of this room stand on: a world that steps change, steps that misbehave as they are told, and lives of
//! an engine over one directory, each of which can be cut off anywhere. Compiled for tests only.
use super::{
    Blueprint, Interrupted, Operations, Registry, Site, Step,
    journal::{Replay, replay},
    seam::{Cut, Faults, Moment, Seam},
};
use crate::{
    config::{ErrorSettings, StoreSettings},
    domain::{Fault, FaultKind, OnFailure, Operation, OperationId, Period, Principal, StepName},
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::Notify,
    time::{sleep, timeout},
};

pub const STEPS: [&str; 3] = ["drain", "switch", "start"];
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a step does other than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It has its effect, and fails after.
    Fails,
    Panics,
    Hangs,
    /// It waits until it is told that it was called off, and then gives up.
    WaitsForCancel,
    /// The same, and then goes on to its end.
    WaitsAndGoesOn,
    UndoFails,
    UndoHangs,
    Unclear,
    LeavesTooMuch,
}

/// It outlives every engine. What is present was done and not undone.
#[derive(Default)]
pub struct World {
    pub ways: BTreeMap<&'static str, Way>,
    pub present: BTreeSet<String>,
    /// Every call, by key.
    pub calls: Vec<String>,
    /// What was handed to undo.
    pub handed: BTreeMap<String, Option<Value>>,
    /// Every entry that was written, by what it says.
    pub written: Vec<String>,
    pub wrong: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn look(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn with(self, step: &'static str, way: Way) -> Self {
        self.look().ways.insert(step, way);
        self
    }

    pub fn called(&self, key: &str) -> usize {
        self.look().calls.iter().filter(|call| *call == key).count()
    }

    /// Until a step is called with this key.
    pub async fn has_called(&self, key: &str) {
        let called = async {
            while self.called(key) == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, called).await.unwrap_or_else(|_| panic!("{key} was not called"));
    }
}

struct Act {
    name: &'static str,
    world: Shared,
}

impl Act {
    fn way(&self) -> Option<Way> {
        self.world.look().ways.get(self.name).copied()
    }

    /// Not before the intent is written, and never after the result is.
    fn called(&self, site: &Site, intent: &str, result: &str) {
        let mut world = self.world.look();
        let (intent, result) = (format!("{intent} {}", self.name), format!("{result} {}", self.name));
        if world.written.last() != Some(&intent) {
            let wrong = format!("{} was called after {:?}", site.key(), world.written.last());
            world.wrong.push(wrong);
        }
        if world.written.contains(&result) {
            world.wrong.push(format!("{} was called again", site.key()));
        }
        world.calls.push(site.key().to_owned());
    }
}

impl Step for Act {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        "a step"
    }

    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            self.called(site, "intended", "done");
            site.note(&format!("{} of 3", self.world.look().present.len() + 1));
            self.world.look().present.insert(self.name.into());
            match self.way() {
                Some(Way::Fails) => {
                    return Err(Fault::new(FaultKind::Unavailable, "cannot reach it").caused_by("no route"));
                }
                Some(Way::Panics) => panic!("on purpose"),
                Some(Way::Hangs) => std::future::pending().await,
                Some(Way::WaitsForCancel) => {
                    site.cancelled().cancelled().await;
                    return Err(Fault::internal("cannot go on: called off"));
                }
                Some(Way::WaitsAndGoesOn) => site.cancelled().cancelled().await,
                Some(Way::LeavesTooMuch) => return Ok("x".repeat(300 << 10).into()),
                _ => {}
            }
            Ok(json!({ "by": self.name, "to": site.arguments()["to"], "before": site.left("drain") }))
        })
    }

    fn undo<'a>(&'a self, site: &'a Site, left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.called(site, "undo-intended", "undone");
            self.world.look().handed.insert(self.name.into(), left.cloned());
            match self.way() {
                Some(Way::UndoFails) => return Err(Fault::internal("cannot put it back")),
                Some(Way::UndoHangs) => std::future::pending().await,
                _ => {}
            }
            self.world.look().present.remove(self.name);
            Ok(())
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn interrupted<'a>(&'a self, _: &'a Site) -> BoxFuture<'a, Result<Interrupted, Fault>> {
        let unclear = self.way() == Some(Way::Unclear);
        Box::pin(async move {
            Ok(if unclear {
                Interrupted::Unclear("the bank does not say".into())
            } else {
                Interrupted::Repeat
            })
        })
    }
}

/// Where the disk refuses, or everything ends: at the so-manieth entry from 0.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub entry: usize,
    pub moment: Moment,
    pub cut: Cut,
    /// Every entry from there on.
    pub always: bool,
}

/// One directory, whatever lives in it.
pub struct Scene {
    pub world: Shared,
    pub dir: PathBuf,
    pub store: Store,
    home: TempDir,
}

/// One engine; dropped like a process that is killed.
pub struct Life {
    pub operations: Operations,
    /// Told when its fate is reached.
    pub fate: Arc<Notify>,
    runtime: Option<Runtime>,
}

impl Scene {
    pub fn new(world: Shared) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (path, backups) = (home.path().join("agentd.db"), home.path().join("backups"));
        let store = Store::open(&path, &backups, &StoreSettings::default(), Clock::system()).expect("opens");
        Self { world, dir: home.path().join("operations"), store, home }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// An engine on the runtime of the test.
    pub async fn engine(&self) -> Operations {
        let operations = self.assemble(None, &Arc::default()).0;
        operations.recover().await.expect("read");
        operations
    }

    pub fn assemble(&self, fate: Option<Fate>, told: &Arc<Notify>) -> (Operations, Errors) {
        let clock = Clock::system();
        let errors = Errors::open(&ErrorSettings::default(), self.store.clone(), clock.clone());
        let steps = STEPS.map(|name| Arc::new(Act { name, world: self.world.clone() }) as Arc<dyn Step>);
        let registry = Registry::new(steps).expect("steps");
        let seam = Seam { faults: Some(faults(self.world.clone(), fate, told.clone())) };
        let operations = Operations::with_seam(self.dir.clone(), registry, clock, errors.clone(), seam);
        (operations.telling(self.store.clone()), errors)
    }

    /// An engine on a runtime of its own.
    pub fn life(&self, fate: Option<Fate>) -> Life {
        let told = Arc::new(Notify::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (operations, _) = {
            let _inside = runtime.enter();
            self.assemble(fate, &told)
        };
        Life { operations, fate: told, runtime: Some(runtime) }
    }

    /// What is written of it, by itself.
    pub fn journal(&self, id: OperationId) -> Replay {
        replay(id, &fs::read(self.file(id)).expect("a journal"))
    }

    pub fn file(&self, id: OperationId) -> PathBuf {
        self.dir.join(format!("{id}.jsonl"))
    }
}

impl Life {
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("it lives");
        runtime.block_on(async { timeout(PATIENCE, work).await.expect("it comes to an end") })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

pub fn blueprint() -> Blueprint {
    Blueprint {
        kind: "rollback",
        title: "Roll back to r-3".into(),
        resource: "fleet".into(),
        steps: STEPS.map(StepName::from).to_vec(),
        arguments: json!({ "to": "r-3" }),
        on_failure: OnFailure::Unwind,
        budget: Some(Period::secs(900)),
    }
}

pub fn ana() -> Principal {
    Principal::user(1000)
}

/// Without what is not written: times that pass, notes, cursors.
pub fn kept(mut operation: Operation) -> Operation {
    let begun = operation.begun_at;
    operation = operation.seen_at(begun);
    operation.cursor = 0;
    operation.steps.iter_mut().for_each(|step| step.note = None);
    operation
}

fn faults(world: Shared, fate: Option<Fate>, told: Arc<Notify>) -> Faults {
    let seen = Mutex::new(0_usize);
    Arc::new(move |moment, event| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = *seen;
        if moment == Moment::After {
            *seen += 1;
            let step = event.step().map(|step| format!(" {step}")).unwrap_or_default();
            world.look().written.push(format!("{}{step}", event.word()));
        }
        let met = fate.filter(|fate| {
            moment == fate.moment && (entry == fate.entry || (fate.always && entry > fate.entry))
        });
        let Some(met) = met else { return Cut::Nothing };
        if met.cut == Cut::Fail && !met.always {
            // Once: the same entry counts as another.
            *seen += 1;
        }
        told.notify_one();
        met.cut
    })
}
