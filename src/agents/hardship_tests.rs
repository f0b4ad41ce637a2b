//! What must not happen to a fleet: a reload by halves, a neighbour's flood, a caller mistaken for somebody else.
use super::{
    actor::Order,
    fleet_fixture::{Fleet, alive, echo, name, settings, shell},
    users,
};
use crate::domain::{AgentState, FaultKind, Identity, Separation};
use serde_json::{Value, json};
use std::{fs, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Puts a full box in the place of an agent's, so that nothing more can be ordered of it; gives back the real one.
fn jam(fleet: &Fleet, agent: &str) -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
    let (jammed, kept) = mpsc::channel(1);
    jammed.try_send(Order::Wake).expect("room for one");
    (swap(fleet, agent, jammed), kept)
}

fn swap(fleet: &Fleet, agent: &str, with: mpsc::Sender<Order>) -> mpsc::Sender<Order> {
    let mut roster = fleet.supervisor.roster();
    let agent = roster.agents.get_mut(&name(agent)).expect("an agent");
    std::mem::replace(&mut agent.instances[0].orders, with)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_every_agent_old_or_new_says_which_and_can_be_finished() {
    let fleet = Fleet::launch(json!([shell("a", "sleep 1000"), shell("b", "sleep 1000")])).await;
    let a = fleet.until_state("a", AgentState::Ready).await;
    let b = fleet.until_state("b", AgentState::Ready).await;
    let reload = |agents: Value| {
        let settings = settings(fleet.dir.path(), &agents);
        fleet.supervisor.apply(settings)
    };
    let next = json!([shell("a", "sleep 1001"), shell("b", "sleep 1001"), shell("c", "sleep 1001")]);
    let (real, full) = jam(&fleet, "b");
    let fault = reload(next.clone()).await.expect_err("it was all done");
    assert!(fault.message.contains("b (") && !fault.message.contains("a ("), "{fault}");
    assert!(fault.hint.is_some());
    fleet.until("a", |now| now.state == AgentState::Ready && now.pid != a.pid).await;
    fleet.until_state("c", AgentState::Ready).await;
    assert_eq!(fleet.instance("b").pid, b.pid, "it has changed, although the fault says that it has not");
    // The same again finishes it: b counts as not done, the others as done.
    swap(&fleet, "b", real);
    let report = reload(next).await.expect("applied");
    assert_eq!((report.restarted, report.unchanged), (vec![name("b")], 2));
    let b = fleet.until("b", |now| now.state == AgentState::Ready && now.pid != b.pid).await;
    // One that cannot be ended stays on the list, alive and supervised.
    let (real, full_again) = jam(&fleet, "b");
    let rest = json!([shell("a", "sleep 1001"), shell("c", "sleep 1001")]);
    let fault = reload(rest.clone()).await.expect_err("it was all done");
    assert!(fault.message.contains("b ("), "{fault}");
    assert!(b.pid.is_some_and(alive) && fleet.instance("b").pid == b.pid);
    swap(&fleet, "b", real);
    assert_eq!(reload(rest).await.expect("applied").removed, [name("b")]);
    assert!(!b.pid.is_some_and(alive), "removed from the manifest, and it lives on");
    drop((full, full_again));
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_touches_nothing() {
    let fleet = Fleet::launch(json!([shell("a", "sleep 1000"), shell("b", "sleep 1000")])).await;
    let a = fleet.until_state("a", AgentState::Ready).await;
    let bad = json!([shell("a", "sleep 1001"), { "name": "c", "kind": "robot" }]);
    let fault = fleet.supervisor.apply(settings(fleet.dir.path(), &bad)).await.expect_err("a bad kind");
    assert_eq!(fault.kind, FaultKind::Config);
    let names: Vec<_> =
        fleet.supervisor.snapshot().agents.iter().map(|agent| agent.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(fleet.instance("a").pid, a.pid);
    fleet.end().await;
}

/// In bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("ourselves");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_prints_as_fast_as_it_can_costs_bounded_memory_and_nobody_else_his_turn() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let agents = json!([shell("flood", "exec yes a line that is not long"), echo("calm")]);
    let mut settings = (*settings(dir.path(), &agents)).clone();
    settings.daemon.log.agent_max_size.0 = 1 << 20;
    settings.daemon.log.agent_keep = 2;
    let fleet = Fleet::launch_with(dir, Arc::new(settings)).await;
    let calm = fleet.until_state("calm", AgentState::Ready).await;
    fleet.until_state("flood", AgentState::Ready).await;
    let before = resident();
    let end = Instant::now() + Duration::from_secs(2);
    let mut served = 0;
    while Instant::now() < end {
        let answer = fleet.supervisor.request(&calm.id, "add", json!(served), Duration::from_secs(5)).await;
        assert_eq!(answer.expect("an answer beside the flood"), json!(served));
        served += 1;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more after {served} answers", grown >> 20);
    let logs = &fleet.supervisor.0.shared.paths.agent_logs;
    let logs: Vec<_> = fs::read_dir(logs).expect("its logs").flatten().collect();
    let flood = logs.iter().filter(|file| file.file_name().to_string_lossy().starts_with("flood@0.log"));
    let sizes: Vec<u64> = flood.filter_map(|file| file.metadata().ok()).map(|file| file.len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().sum::<u64>() <= 4 << 20, "no flood, or no bound: {sizes:?}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_an_agent_by_its_uid_and_nobody_by_a_uid_that_no_agent_has() {
    let mut alone = shell("alone", "sleep 1000");
    let own = shell("own", "sleep 1000");
    let root = rustix::process::geteuid().is_root();
    alone["user"] = json!("auto");
    let fleet = Fleet::launch(json!([alone, own])).await;
    let alone = fleet.until_state("alone", AgentState::Ready).await;
    let own = fleet.until_state("own", AgentState::Ready).await;
    assert_eq!(own.separation, Separation::None, "our own uid separates nothing, in whatever cgroup");
    assert_eq!(fleet.supervisor.separation(), Separation::None, "the weakest counts");
    let me = rustix::process::geteuid().as_raw();
    let peer = |uid, pid| fleet.supervisor.agent_of(&Identity { uid, gid: 0, pid });
    assert_eq!(peer(me, Some(super::procfs::own_pid())).expect("told"), None, "the operator is no agent");
    assert_eq!(peer(54_321, Some(1)).expect("told"), None, "nor is a stranger");
    // Seen in its cgroup it is the agent, though it could have left.
    let seen = peer(me, own.pid).expect("told");
    assert!(seen.is_none() || seen == Some(name("own")), "{seen:?}");
    if root {
        assert_eq!(alone.separation, Separation::OwnUser);
        let names = [name("alone"), name("own")];
        let store = &fleet.supervisor.0.shared.store;
        let before = store.kept_of_agents().await.expect("read").uids;
        let granted = users::granted(store, before, &names, jiff::Timestamp::now());
        let uid = granted.await.expect("granted")[&name("alone")];
        assert_eq!(peer(uid, None).expect("told"), Some(name("alone")));
        let nobodys = users::RANGE.rev().find(|other| *other != uid).expect("another");
        assert_eq!(peer(nobodys, None).expect_err("let in").kind, FaultKind::Forbidden);
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_instance_is_separated_as_the_kernel_shows_not_as_it_was_recorded() {
    let mut agent = shell("a", "sleep 1000");
    agent["user"] = json!("auto");
    let fleet = Fleet::launch(json!([agent])).await;
    let first = fleet.until_state("a", AgentState::Ready).await;
    let dir = fleet.dir.clone();
    drop(fleet);
    let fleet = Fleet::launch_in(dir, json!([agent])).await;
    let adopted = fleet.until("a", |now| now.adopted).await;
    assert_eq!(
        (adopted.pid, adopted.separation),
        (first.pid, super::separation::of(first.pid.expect("a pid")))
    );
    let root = rustix::process::geteuid().is_root();
    assert_eq!(adopted.separation, if root { Separation::OwnUser } else { Separation::None });
    fleet.end().await;
}
