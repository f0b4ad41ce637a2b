//! The supervisor with real children and a real store: what tables cannot show.
use super::{
    LogQuery,
    fleet_fixture::{Fleet, SOON, alive, echo, kill, name, shell},
};
use crate::domain::{AgentState, CrashClass, FaultKind, InstanceStatus, Observation};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_agent_answers_its_ping_and_requests_and_ends_with_the_fleet() {
    let fleet = Fleet::launch(json!([echo("a")])).await;
    let up = fleet.until_state("a", AgentState::Ready).await;
    assert!(up.ready_at.is_some() && up.pid.is_some_and(alive));
    let answer = fleet.supervisor.request(&up.id, "add", json!({ "x": 1 }), SOON).await;
    assert_eq!(answer.expect("an answer"), json!({ "x": 1 }));
    let (lines, file) =
        fleet.supervisor.logs(&LogQuery { instance: up.id.clone(), lines: 100 }).expect("a log");
    assert!(lines.iter().any(|line| line.contains("not json at all")), "{} has {lines:?}", file.display());
    let fault = fleet.supervisor.start(&[name("b")]).await.unwrap_err();
    assert_eq!((fault.kind, fault.hint.as_deref()), (FaultKind::NotFound, Some("did you mean `a`?")));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_latches_and_an_operator_clears_it() {
    let fleet = Fleet::launch(json!([shell("a", "echo boom >&2; exit 3")])).await;
    let latched = fleet.until_state("a", AgentState::CrashLooping).await;
    assert_eq!(latched.restarts, 4, "the fifth failure latches");
    assert!(latched.reason.as_deref().is_some_and(|reason| reason.contains("boom")), "{latched:?}");
    assert_eq!(latched.last_exit.and_then(|exit| exit.code), Some(3));
    let generation = latched.generation;
    fleet.supervisor.start(&[name("a")]).await.expect("started");
    fleet.until("a", |instance| instance.generation > generation).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_module_or_program_fails_once_and_says_why() {
    let fleet = Fleet::launch(json!([
        { "name": "module", "kind": "process", "user": "inherit",
          "options": { "command": ["python3", "-c", "import no_such_module_here"] } },
        { "name": "program", "kind": "process", "user": "inherit",
          "options": { "command": ["/no/such/program"] } },
        { "name": "secret", "kind": "process", "user": "inherit",
          "options": { "command": ["/bin/true"], "environment": { "T": "env:NO_SUCH_VARIABLE_HERE" } } },
    ]))
    .await;
    for (id, class) in [
        ("module", CrashClass::Import),
        ("program", CrashClass::NotExecutable),
        ("secret", CrashClass::Configuration),
    ] {
        let failed = fleet.until_state(id, AgentState::Failed).await;
        assert_eq!(failed.last_exit.and_then(|exit| exit.class), Some(class), "{id}");
        assert_eq!((failed.restarts, failed.generation), (0, 1), "{id} was tried again");
        assert!(failed.reason.is_some_and(|reason| !reason.is_empty()));
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_comes_back_and_its_children_do_not_stay() {
    let fleet = Fleet::launch(json!([shell("a", "sleep 1000 & (setsid sleep 1000 &) ; wait")])).await;
    let up = fleet.until_state("a", AgentState::Ready).await;
    let before = super::procfs::marked(fleet.supervisor.fleet_id()).len();
    assert!(before >= 3, "a shell and two sleeps: {before}");
    kill(up.pid.expect("a pid"));
    let again = fleet.until("a", |now| now.pid.is_some() && now.pid != up.pid).await;
    assert_eq!(again.restarts, 1);
    let old: Vec<_> = super::procfs::marked(fleet.supervisor.fleet_id())
        .into_iter()
        .filter(|process| process.pgid == up.pid.unwrap_or_default())
        .collect();
    assert_eq!(old, [], "children of the killed process live on");
    let started = Instant::now();
    fleet.supervisor.stop(&[name("a")]).await.expect("stopped");
    assert!(started.elapsed() < SOON);
    assert_eq!(fleet.instance("a").state, AgentState::Stopped);
    assert_eq!(super::procfs::marked(fleet.supervisor.fleet_id()), []);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_wait_for_what_they_need_and_stop_before_it() {
    let mut back = shell("back", "sleep 1000");
    back["depends_on"] = json!(["db"]);
    let mut front = shell("front", "sleep 1000");
    front["depends_on"] = json!(["back"]);
    let fleet = Fleet::launch(json!([front, back])).await;
    let waits = |what: &'static str| move |i: &InstanceStatus| i.reason.as_deref() == Some(what);
    fleet.until("back", waits("waits for db")).await;
    fleet.until("front", waits("waits for back")).await;
    fleet.supervisor.observe_dependency("db", Observation::NotReady { reason: "refused".into() });
    assert_eq!(fleet.supervisor.dependencies_down().get("db").map(String::as_str), Some("refused"));
    assert_eq!(fleet.instance("back").generation, 0, "started without its database");
    fleet.supervisor.observe_dependency("db", Observation::Ready);
    let back = fleet.until_state("back", AgentState::Ready).await;
    let front = fleet.until_state("front", AgentState::Ready).await;
    assert!(back.ready_at <= front.started_at, "front started before back was ready");
    // While they stop, front must be gone before back goes.
    let watch = async {
        fleet.until("front", |i| !i.state.is_up()).await;
        assert_ne!(fleet.instance("back").state, AgentState::Stopped);
    };
    tokio::join!(watch, fleet.supervisor.shutdown(SOON));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_supervisor_adopts_what_lives_and_reaps_what_is_not_wanted() {
    let fleet =
        Fleet::launch(json!([echo("kept"), shell("gone", "sleep 1000"), shell("changed", "sleep 1000")]))
            .await;
    let kept = fleet.until_state("kept", AgentState::Ready).await;
    let gone = fleet.until_state("gone", AgentState::Ready).await;
    let changed = fleet.until_state("changed", AgentState::Ready).await;
    let dir = fleet.dir.clone();
    drop(fleet); // as a kill would: nothing is stopped
    assert!(kept.pid.is_some_and(alive), "the agent died with its supervisor");
    let fleet = Fleet::launch_in(dir, json!([echo("kept"), shell("changed", "sleep 2000")])).await;
    let adopted = fleet.until_state("kept", AgentState::Ready).await;
    assert_eq!((adopted.pid, adopted.adopted), (kept.pid, true));
    let answer = fleet.supervisor.request(&adopted.id, "x", json!(7), SOON).await;
    assert_eq!(answer.expect("an answer over the FIFO that stayed"), json!(7));
    let renewed = fleet.until_state("changed", AgentState::Ready).await;
    assert_ne!(renewed.pid, changed.pid);
    assert!(!changed.pid.is_some_and(alive), "two of the same instance run");
    let deadline = Instant::now() + SOON;
    while gone.pid.is_some_and(alive) {
        assert!(Instant::now() < deadline, "an orphan lives on");
        sleep(Duration::from_millis(10)).await;
    }
    // Its end cannot be seen, and it is started again all the same.
    kill(adopted.pid.expect("a pid"));
    let again = fleet.until("kept", |now| now.state == AgentState::Ready && now.pid != adopted.pid).await;
    assert!(!again.adopted);
    assert_eq!(again.last_exit.and_then(|exit| exit.code), None);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_holds_is_named_and_taken_once_it_is_free() {
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = holder.local_addr().expect("an address").port();
    let fleet = Fleet::launch(json!([{
        "name": "a", "kind": "service", "user": "inherit", "restart": { "backoff": "10ms..20ms" }, "stop_timeout": "2s",
        "options": { "command": ["/bin/sh", "-c", "echo {port} {name} {index}; exec sleep 1000"], "port": port },
    }]))
    .await;
    let held = fleet.until_state("a", AgentState::BackingOff).await;
    let reason = held.reason.expect("a reason");
    assert!(
        reason.contains(&format!("port {port}")) && reason.contains(&std::process::id().to_string()),
        "{reason}"
    );
    assert_eq!((held.restarts, held.pid), (0, None), "it was spawned although its port is held");
    drop(holder);
    let up = fleet.until("a", |instance| instance.pid.is_some()).await;
    assert_eq!((up.port, up.state), (Some(port), AgentState::Starting));
    fleet.supervisor.observe(&up.id, up.generation + 1, Observation::Ready);
    fleet.supervisor.observe(&up.id, up.generation, Observation::NotReady { reason: "404".into() });
    fleet.until("a", |instance| instance.reason.as_deref() == Some("404")).await;
    assert_eq!(fleet.instance("a").state, AgentState::Starting, "word of another generation counted");
    fleet.supervisor.observe(&up.id, up.generation, Observation::Ready);
    fleet.until_state("a", AgentState::Ready).await;
    fleet.supervisor.observe(&up.id, up.generation, Observation::Unhealthy { reason: "deadlocked".into() });
    let again = fleet.until("a", |now| now.pid.is_some() && now.pid != up.pid).await;
    assert_eq!(again.last_exit.and_then(|exit| exit.class), Some(CrashClass::Unhealthy));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_and_apply_touch_only_what_they_must_and_wishes_are_kept() {
    let fleet = Fleet::launch(json!([shell("a", "sleep 1000"), shell("b", "sleep 1000")])).await;
    let a = fleet.until_state("a", AgentState::Ready).await;
    let b = fleet.until_state("b", AgentState::Ready).await;
    fleet.supervisor.scale(&name("a"), 3).await.expect("scaled");
    fleet.until_state("a/2", AgentState::Ready).await;
    assert_eq!(fleet.instance("a/0").pid, a.pid);
    fleet.supervisor.scale(&name("a"), 2).await.expect("scaled");
    assert!(fleet.supervisor.scale(&name("a"), 0).await.is_err());
    let mut tier = shell("a", "sleep 1000");
    tier["tier"] = json!("revenue");
    let report = fleet.apply(json!([tier, shell("b", "sleep 1001"), shell("c", "sleep 1000")])).await;
    assert_eq!(
        (report.updated, report.restarted, report.added),
        (vec![name("a")], vec![name("b")], vec![name("c")])
    );
    fleet.until("b", |now| now.state == AgentState::Ready && now.pid != b.pid).await;
    fleet.until_state("c", AgentState::Ready).await;
    let snapshot = fleet.supervisor.snapshot();
    let status = snapshot.agent("a").expect("a");
    assert_eq!((status.tier.as_str(), status.replicas, status.instances.len()), ("revenue", 2, 2));
    assert_eq!((fleet.instance("a/0").pid, fleet.instance("b").restarts), (a.pid, 0));
    fleet.supervisor.stop(&[name("b")]).await.expect("stopped");
    let report = fleet.apply(json!([shell("b", "sleep 1001")])).await;
    assert_eq!(report.removed.len(), 2);
    let dir = fleet.dir.clone();
    fleet.end().await;
    // A stop by hand and a scale outlive the daemon.
    let fleet = Fleet::launch_in(dir, json!([shell("a", "sleep 1000"), shell("b", "sleep 1000")])).await;
    fleet.until_state("a/1", AgentState::Ready).await;
    assert_eq!(fleet.instance("b").state, AgentState::Stopped);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_never_becomes_ready_is_ended_in_time() {
    let mut deaf = shell("deaf", "sleep 1000");
    deaf["options"]["ping"] = json!(true);
    deaf["start_timeout"] = json!("200ms");
    deaf["restart"] = json!({ "policy": "never" });
    let fleet =
        Fleet::launch(json!([deaf, shell("stubborn", "trap '' TERM; sleep 1000 & wait; wait")])).await;
    let failed = fleet.until_state("deaf", AgentState::Failed).await;
    assert_eq!(failed.last_exit.and_then(|exit| exit.class), Some(CrashClass::StartTimeout));
    assert!(failed.reason.is_some_and(|reason| reason.contains("not ready within 200ms")));
    fleet.until_state("stubborn", AgentState::Ready).await;
    let started = Instant::now();
    fleet.supervisor.shutdown(Duration::from_millis(1500)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    fleet.end().await;
}
