//! Operations through the real binaries: what an earlier daemon left is shown, judged and gone on with or stopped, and
//! what cannot be called off is refused. The journals are made here, by steps that agentd does not have.
use crate::support::Daemon;
use agentctl::{
    config::{ErrorSettings, StoreSettings},
    domain::{Fault, OnFailure, Period, Principal},
    errors::Errors,
    operations::{Blueprint, Operations, Registry, Site, Step},
    resilience::Clock,
    store::Store,
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

const MANIFEST: &str = "schema = 1\n";
/// Of its own, since none of agentd's is like them.
const STEPS: [&str; 3] = ["test-fine", "test-fails", "test-hangs"];

struct Act(&'static str);

impl Step for Act {
    fn name(&self) -> &'static str {
        self.0
    }
    fn title(&self) -> &'static str {
        "Do \u{1b}[2Jthis"
    }
    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            site.note("half of it");
            match self.0 {
                "test-fails" => Err(Fault::internal("cannot \u{1b}]0;owned\u{7}do it").hint("mend it")),
                "test-hangs" => std::future::pending().await,
                _ => Ok(json!({ "left": 1 })),
            }
        })
    }
    fn undo<'a>(&'a self, _: &'a Site, _: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }
}

/// What an agentd that was killed left: one operation that succeeded, one that was unwound, one in the middle.
fn left_behind(state: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let home = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let path = home.path().join("x.db");
        let store =
            Store::open(&path, home.path(), &StoreSettings::default(), Clock::system()).expect("opens");
        let errors = Errors::open(&ErrorSettings::default(), store, Clock::system());
        let registry = Registry::new(STEPS.map(|name| Arc::new(Act(name)) as Arc<dyn Step>)).expect("steps");
        let operations = Operations::new(state.join("operations"), registry, Clock::system(), errors);
        operations.recover().await.expect("read");
        let by: Principal = "user:4242".parse().expect("a principal");
        for last in ["test-fine", "test-fails", "test-hangs"] {
            let mut steps = vec!["test-fine".into()];
            steps.extend((last != "test-fine").then(|| last.into()));
            let blueprint = Blueprint {
                kind: "rollback",
                title: "Roll back\u{1b}[31m to r-3".into(),
                resource: "fleet".into(),
                steps,
                arguments: json!({ "to": "r-3" }),
                on_failure: OnFailure::Unwind,
                budget: Some(Period::secs(900)),
            };
            let id = operations.begin(blueprint, by.clone()).await.expect("begun");
            if last == "test-hangs" {
                let mut after = 0;
                while operations.show(id, after).await.expect("shown").steps[1].note.is_none() {
                    after = operations.show(id, 0).await.expect("shown").cursor;
                }
            } else {
                let end = timeout(Duration::from_secs(20), operations.settled(id)).await;
                assert!(end.expect("in time").expect("it ends").state.is_terminal());
            }
        }
    });
    runtime.shutdown_background();
}

fn prepared() -> Daemon {
    let daemon = Daemon::prepared(MANIFEST);
    left_behind(&daemon.path("state"));
    daemon
}

#[test]
fn what_an_earlier_daemon_left_is_shown_and_what_cannot_be_gone_on_with_stops_for_everybody_to_see() {
    let daemon = prepared();
    fs::set_permissions(daemon.path("state/operations"), fs::Permissions::from_mode(0o755)).expect("opened");
    let mut daemon = daemon.launched();
    let mode = |name: &str| fs::metadata(daemon.path(name)).expect("it is there").mode() & 0o777;
    assert_eq!((mode("state/operations"), mode("state/operations/op-1.jsonl")), (0o700, 0o600));
    let shown = |daemon: &Daemon, code: i32, id: &str| {
        daemon.ctl(["operation", "show", id, "--follow", "-o", "json"]).exits(code).json()
    };
    let stopped = shown(&daemon, 1, "op-3");
    assert_eq!(
        (&stopped["state"], &stopped["schema_version"]),
        (&"stopped".into(), &1.into()),
        "{stopped:#}"
    );
    assert_eq!(stopped["why"]["message"], "cannot go on: this agentd has no step called `test-hangs`");
    assert_eq!(
        (&stopped["steps"][0]["state"], &stopped["steps"][1]["state"]),
        (&"done".into(), &"running".into())
    );
    assert_eq!(shown(&daemon, 0, "1")["steps"][0]["left"], json!({ "left": 1 }));
    assert_eq!(shown(&daemon, 1, "op-2")["state"], "unwound");

    let list = daemon.ctl(["operation", "list"]).exits(0).stdout;
    let row = |id: &str| list.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{list}"));
    assert!(row("op-1").contains("succeeded") && row("op-3").contains("stopped"), "{list}");
    assert!(!list.contains('\u{1b}') && list.contains("\\u{1b}[31m to r-3"), "{list}");
    assert_eq!(daemon.ctl(["operation", "list", "-o", "name"]).exits(0).stdout, "op-3\nop-2\nop-1\n");
    assert_eq!(
        daemon.ctl(["operation", "list", "--limit", "1", "-o", "jsonl"]).exits(0).stdout.lines().count(),
        1
    );
    let page = daemon.ctl(["operation", "show", "op-3"]).exits(1);
    assert!(page.stdout.contains("STOPPED in between and needs a person"), "{page}");
    assert!(page.stdout.contains("left in place: test-fine, test-hangs"), "{page}");
    let followed = daemon.ctl(["operation", "show", "op-2", "--follow"]).exits(1);
    assert!(followed.stderr.contains("[2/2] Do \\u{1b}[2Jthis: undone"), "{followed}");
    assert!(!followed.stdout.contains('\u{1b}') && followed.stdout.contains("mend it"), "{followed}");
    daemon.ctl(["operation", "show", "op-9"]).exits(7);
    assert!(daemon.ctl(["operation", "show", "op-x"]).exits(2).stderr.contains("write it like op-7"));

    let failures = daemon.ctl(["error", "list", "-o", "json"]).exits(0).stdout;
    assert!(failures.contains("operation/rollback"), "{failures}");
    // Written: another start finds it as it stands, and says it to nobody again.
    daemon.kill();
    daemon.launch();
    assert_eq!(shown(&daemon, 1, "op-3")["ended_at"], stopped["ended_at"]);
}

#[test]
fn what_has_ended_is_not_called_off_and_that_it_was_tried_is_in_the_trail() {
    let daemon = prepared().launched();
    let refused = daemon.ctl(["operation", "cancel", "op-1"]).exits(6);
    assert!(refused.stderr.contains("no terminal") && refused.stderr.contains("--yes"), "{refused}");
    let ended = daemon.ctl(["operation", "cancel", "op-1", "--yes"]).exits(7);
    assert!(ended.stderr.contains("cannot cancel op-1: it has ended, succeeded"), "{ended}");
    daemon.ctl(["operation", "cancel", "op-77", "--yes"]).exits(7);
    let rows = daemon.ctl(["audit", "list", "--action", "operations/cancel", "-o", "json"]).exits(0).json();
    let rows = rows["entries"].as_array().expect("rows");
    let seen: Vec<_> =
        rows.iter().map(|row| format!("{} {}", row["object"], row["standing"]).replace('"', "")).collect();
    let wanted = [
        "operation/op-1 intended",
        "operation/op-1 failed",
        "operation/op-77 intended",
        "operation/op-77 failed",
    ];
    assert_eq!(seen, wanted, "{rows:#?}");
}

#[test]
fn a_journal_that_was_changed_is_not_believed_and_one_that_was_cut_off_is() {
    let daemon = prepared();
    let home = daemon.path("state/operations");
    let file = |id: u8| home.join(format!("op-{id}.jsonl"));
    let text = fs::read_to_string(file(1)).expect("read");
    fs::write(file(1), text.replacen("r-3", "r-4", 1)).expect("written");
    // Its end was never acknowledged: agentd goes on, and finds that it does not know the step.
    let text = fs::read_to_string(file(2)).expect("read");
    fs::write(file(2), &text[..text.len() - 30]).expect("written");
    fs::remove_file(file(3)).expect("removed");
    let daemon = daemon.launched();
    let damaged = daemon.ctl(["operation", "show", "op-1", "-o", "json"]).exits(1).json();
    assert_eq!(damaged["state"], "stopped");
    let said = damaged["why"]["message"].as_str().expect("a reason");
    assert!(said.contains("cannot trust the journal of op-1: line 1: it is not as it was written"), "{said}");
    let cut = daemon.ctl(["operation", "show", "op-2", "--follow", "-o", "json"]).exits(1).json();
    assert!(
        cut["why"]["message"].as_str().is_some_and(|said| said.contains("has no step called")),
        "{cut:#}"
    );
    assert_eq!(fs::read_to_string(file(1)).expect("read").matches("r-4").count(), 1, "it was written to");
}

#[test]
fn without_a_place_for_journals_agentd_does_not_start() {
    let daemon = Daemon::prepared(MANIFEST);
    fs::create_dir(daemon.path("state")).expect("made");
    fs::write(daemon.path("state/operations"), "a file").expect("written");
    let refused = daemon.another(&daemon.path("state"), &daemon.socket());
    assert!(refused.code != 0 && refused.stderr.contains("state/operations"), "{refused}");
    fs::remove_file(daemon.path("state/operations")).expect("removed");
    let daemon = daemon.launched();
    assert_eq!(daemon.ctl(["operation", "list"]).exits(0).stdout, "no operation is kept\n");
}
