//! Killed for real, as a process of its own, until it has come to its end: every step is done, and none after its result
//! was written.
use super::{
    Blueprint, Interrupted, Operations, Registry, Site, Step,
    scene::{ana, blueprint},
};
use crate::{
    config::{ErrorSettings, StoreSettings},
    domain::{Fault, OperationId, OperationState as O, StepName, StepState as S},
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

const FIRST: OperationId = OperationId(1);

/// Where the child of the next test works.
const CHILD: &str = "AGENTD_TEST_OPERATIONS_CHILD";
const EIGHT: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

/// Each run of it is a line of a file.
struct Traced {
    name: &'static str,
    home: PathBuf,
}

impl Step for Traced {
    fn name(&self) -> &'static str {
        self.name
    }
    fn title(&self) -> &'static str {
        "a traced step"
    }
    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let trace = fs::OpenOptions::new().create(true).append(true).open(self.home.join("trace"));
            writeln!(trace.expect("a file"), "{}", site.key()).expect("written");
            sleep(Duration::from_millis(5)).await;
            Ok(json!(site.key()))
        })
    }
    fn undo<'a>(&'a self, _: &'a Site, _: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { panic!("nothing fails here") })
    }
    fn interrupted<'a>(&'a self, _: &'a Site) -> BoxFuture<'a, Result<Interrupted, Fault>> {
        Box::pin(async { Ok(Interrupted::Repeat) })
    }
}

async fn work_until_killed(home: &Path) {
    let store = Store::open(&home.join("agentd.db"), home, &StoreSettings::default(), Clock::system())
        .expect("opens");
    let errors = Errors::open(&ErrorSettings::default(), store, Clock::system());
    let steps = EIGHT.map(|name| Arc::new(Traced { name, home: home.to_owned() }) as Arc<dyn Step>);
    let dir = home.join("operations");
    let operations = Operations::new(dir, Registry::new(steps).expect("steps"), Clock::system(), errors);
    writeln!(io::stdout(), "up").expect("the parent listens");
    operations.recover().await.expect("read");
    if operations.list(1).is_empty() {
        let all = Blueprint { steps: EIGHT.map(StepName::from).to_vec(), ..blueprint() };
        operations.begin(all, ana()).await.expect("begun");
    }
    let end = operations.settled(FIRST).await.expect("it ends");
    assert_eq!(end.state, O::Succeeded);
}

#[tokio::test]
async fn killed_again_and_again_every_step_is_done_and_none_after_its_result() {
    if let Some(home) = env::var_os(CHILD) {
        return work_until_killed(Path::new(&home)).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    let (mut kills, mut settled) = (0_u64, BTreeMap::new());
    let runs = || {
        let trace = fs::read_to_string(home.path().join("trace")).unwrap_or_default();
        EIGHT.map(|name| trace.lines().filter(|line| *line == format!("op-1/{name}")).count())
    };
    let file = home.path().join("operations/op-1.jsonl");
    loop {
        assert!(kills < 400, "it never ends");
        let mut child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg(
                "operations::kill_tests::killed_again_and_again_every_step_is_done_and_none_after_its_result",
            )
            .env(CHILD, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let up = lines.by_ref().map_while(Result::ok).any(|line| line.ends_with("up"));
        assert!(up, "the child did not start");
        // A little longer each time, so that it is met everywhere and comes to an end.
        std::thread::sleep(Duration::from_millis(kills));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        kills += 1;
        if let Ok(text) = fs::read(&file) {
            let read = super::journal::replay(FIRST, &text);
            assert!(read.damage.is_none(), "{read:?}");
            let operation = read.operation.expect("begun");
            for (place, count) in runs().into_iter().enumerate() {
                if operation.steps[place].state == S::Done {
                    let before = *settled.entry(place).or_insert(count);
                    assert_eq!(before, count, "{} ran after its result was written", EIGHT[place]);
                    assert!(count >= 1);
                }
            }
            if operation.state == O::Succeeded {
                break;
            }
        }
    }
    assert!(kills >= 5, "it was killed only {kills} times");
    assert_eq!(settled.len(), EIGHT.len());
}
