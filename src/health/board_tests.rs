//! The board turned by hand: no process, no network, no clock but the numbers given.
use super::*;
use crate::{
    config::ProbeSettings,
    domain::{AgentState, AgentStatus, InstanceStatus, Period, ProbeRole, Separation},
    health::{
        look::tests::settings,
        plan::{AgentPlan, Planned},
    },
};
use serde_json::json;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn probe(name: &str, role: ProbeRole, every_s: u64) -> Arc<Planned> {
    let base = settings("process", json!({}));
    let every = Period::secs(every_s);
    Arc::new(Planned::new(ProbeSettings { name: name.into(), role, every, ..base }))
}

fn agent(name: &str, depends_on: &[&str], state: AgentState, generation: u64) -> Arc<AgentStatus> {
    let id: InstanceId = name.parse().expect("a name");
    Arc::new(AgentStatus {
        name: id.agent.clone(),
        kind: "service".into(),
        tier: "core".into(),
        owner: None,
        state,
        replicas: 1,
        depends_on: depends_on.iter().map(ToString::to_string).collect(),
        instances: vec![InstanceStatus {
            id,
            state,
            reason: None,
            pid: state.is_up().then_some(7),
            generation,
            port: None,
            adopted: false,
            since: None,
            started_at: None,
            ready_at: None,
            restarts: 0,
            last_exit: None,
            separation: Separation::None,
            release: None,
        }],
    })
}

/// A board and the hand that turns it.
struct Bench {
    board: Board,
    now: Instant,
    version: u64,
}

impl Bench {
    fn new(agents: &[(&str, Vec<Arc<Planned>>)], dependencies: &[(&str, Arc<Planned>)]) -> Self {
        let agents = agents.iter().map(|(name, probes)| {
            (name.parse().expect("a name"), AgentPlan { probes: probes.clone(), base: None })
        });
        let dependencies = dependencies.iter().map(|(name, planned)| ((*name).into(), Arc::clone(planned)));
        let plan = Plan { agents: agents.collect(), dependencies: dependencies.collect() };
        let mut bench = Self { board: Board::default(), now: Instant::now(), version: 0 };
        bench.board.set_plan(plan, bench.now, T0);
        bench
    }

    fn fleet(&mut self, agents: Vec<Arc<AgentStatus>>) {
        self.version += 1;
        let fleet = FleetSnapshot { agents: agents.into(), version: self.version };
        self.board.set_fleet(fleet, self.now, T0);
    }

    fn down(&mut self, name: &str) {
        self.board.set_down([(name.to_owned(), "refused".to_owned())].into(), self.now, T0);
    }

    /// Makes every look that falls due in so long; `answer` is asked by target and probe. Returns who was asked.
    fn run(&mut self, ms: u64, answer: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let mut asked = Vec::new();
        let until = self.now + Duration::from_millis(ms);
        while let Some(next) = self.board.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            for look in self.board.due(self.now) {
                let (key, place) = self.board.slots[&look.slot].clone();
                let name = self.board.subjects[&key].slots[place].planned.settings.name.clone();
                let ok = answer(&key.to_string(), &name);
                asked.push(format!("{key} {name}"));
                self.answer(&look, ok);
            }
        }
        self.now = until;
        asked
    }

    fn answer(&mut self, look: &Look, ok: bool) {
        let detail = if ok { "fine" } else { "broken" }.to_owned();
        let result = ProbeResult { at: T0, ok, took_ms: 1.0, detail };
        self.board.take(look.slot, look.round, look.began, result, self.now);
    }

    fn told(&mut self) -> Vec<Observation> {
        let told = |news| if let News::Instance(_, _, observation) = news { Some(observation) } else { None };
        self.board.take_news().into_iter().filter_map(told).collect()
    }

    fn state(&self, probe: &str) -> ProbeState {
        self.board.snapshot().into_iter().find(|status| status.name == probe).expect("the probe").state
    }
}

use ProbeRole::{Liveness, Readiness, Startup};

#[test]
fn readiness_waits_for_startup_and_liveness_for_the_first_ready() {
    let probes = vec![probe("up", Startup, 30), probe("ready", Readiness, 30), probe("alive", Liveness, 30)];
    let mut bench = Bench::new(&[("a", probes)], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Starting, 1)]);
    let asked = bench.run(3000, |_, _| false);
    assert!(asked.len() >= 4, "a start is asked quickly, was asked {} times in 3 s", asked.len());
    assert!(asked.iter().all(|name| name == "a/0 up"), "{asked:?}");
    assert_eq!(bench.told(), [Observation::NotReady { reason: "up: broken".into() }], "once, for the reason");
    assert_eq!(bench.state("up"), ProbeState::Unknown, "a failure while starting decided something");
    let asked = bench.run(1200, |_, _| true);
    assert_eq!(asked.iter().filter(|name| *name == "a/0 up").count(), 1, "startup is asked until it passes");
    assert!(asked.contains(&"a/0 ready".into()), "{asked:?}");
    assert_eq!(bench.told(), [Observation::Ready]);
    let asked = bench.run(70_000, |_, name| name != "alive");
    assert!(asked.contains(&"a/0 alive".into()) && !asked.contains(&"a/0 up".into()), "{asked:?}");
    assert_eq!(bench.told(), [], "two failures are not three");
    bench.run(35_000, |_, name| name != "alive");
    assert_eq!(bench.told(), [Observation::Unhealthy { reason: "alive: broken".into() }]);
}

#[test]
fn one_bad_look_changes_nothing_and_three_do() {
    let mut bench = Bench::new(&[("a", vec![probe("ready", Readiness, 10)])], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Ready, 1)]);
    bench.run(3000, |_, _| true);
    assert_eq!(bench.told(), [Observation::Ready]);
    bench.run(11_000, |_, _| false);
    bench.run(11_000, |_, _| true);
    assert!(bench.board.take_news().is_empty(), "one bad look was told");
    bench.run(34_000, |_, _| false);
    let news = bench.board.take_news();
    assert!(
        news.iter().any(|n| matches!(n, News::Turned(t, true) if t.from == ProbeState::Passing
            && t.to == ProbeState::Failing && t.detail == "broken")),
        "{news:?}"
    );
    assert!(news.iter().any(|n| matches!(n, News::Instance(_, 1, Observation::NotReady { .. }))));
}

#[test]
fn a_new_generation_voids_what_was_seen_of_the_old() {
    let mut bench = Bench::new(&[("a", vec![probe("ready", Readiness, 30)])], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Starting, 1)]);
    bench.now += Duration::from_millis(50);
    let look = bench.board.due(bench.now).pop().expect("a look");
    assert!(look.target.check_identity, "the first look of a generation must identify");
    bench.fleet(vec![agent("a", &[], AgentState::Starting, 2)]);
    assert!(
        bench.board.due(bench.now + Duration::from_secs(60)).is_empty(),
        "two looks of one probe at once"
    );
    bench.answer(&look, true);
    assert_eq!(bench.told(), [], "an answer of the old process made the new one ready");
    bench.run(500, |_, _| true);
    assert_eq!(bench.told(), [Observation::Ready]);
    bench.fleet(vec![agent("a", &[], AgentState::BackingOff, 2)]);
    assert_eq!(bench.state("ready"), ProbeState::Unknown);
    assert!(bench.run(120_000, |_, _| true).is_empty(), "it asked what is not there");
}

#[test]
fn identity_is_asked_first_after_a_failure_and_now_and_then() {
    let mut bench = Bench::new(&[("a", vec![probe("ready", Readiness, 1)])], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Ready, 1)]);
    let mut asked = Vec::new();
    for n in 0..30 {
        bench.now = bench.board.next().expect("the next look");
        let look = bench.board.due(bench.now).pop().expect("a look");
        asked.push(look.target.check_identity);
        bench.answer(&look, n != 13);
    }
    let at: Vec<usize> = (0..30).filter(|n| asked[*n]).collect();
    assert_eq!(at, [0, 10, 14, 24]);
}

#[test]
fn an_outage_blocks_instead_of_failing_and_is_one_event() {
    let agents: Vec<String> = (0..39).map(|n| format!("a{n}")).collect();
    let probes: Vec<_> =
        agents.iter().map(|name| (name.as_str(), vec![probe("ready", Readiness, 10)])).collect();
    let mut bench = Bench::new(&probes, &[("db", probe("db", Readiness, 30))]);
    bench.fleet(agents.iter().map(|name| agent(name, &["db"], AgentState::Ready, 1)).collect());
    bench.run(12_000, |_, _| true);
    bench.board.take_news();
    // Everything fails at once; the agents' probes come round three times as often as the database's.
    let mut events = Vec::new();
    for _ in 0..500 {
        bench.run(100, |_, _| false);
        for news in bench.board.take_news() {
            match news {
                News::Dependency(name, Observation::NotReady { .. }) => bench.down(&name),
                News::Turned(turned, true) => events.push(turned.target),
                _ => {}
            }
        }
    }
    assert_eq!(events, ["db"], "one outage, one event");
    let snapshot = bench.board.snapshot();
    let blocked =
        snapshot.iter().filter(|status| status.blocked_by.as_deref() == Some("db: refused")).count();
    assert_eq!(blocked, 39);
    assert!(bench.run(60_000, |_, _| false).iter().all(|name| name == "db db"), "a blocked probe was asked");
    bench.board.set_down(BTreeMap::new(), bench.now, T0);
    bench.board.take_news();
    assert_eq!(bench.state("ready"), ProbeState::Unknown, "it passed by what was seen before the outage");
    bench.run(3000, |_, _| true);
    let news = bench.board.take_news();
    let ready = news.iter().filter(|n| matches!(n, News::Instance(_, _, Observation::Ready))).count();
    assert_eq!(ready, 39);
    assert!(!news.iter().any(|n| matches!(n, News::Turned(t, true) if t.target != "db")), "{news:?}");
}

#[test]
fn a_failure_of_its_own_is_not_held_back_for_long_by_a_healthy_dependency() {
    let mut bench =
        Bench::new(&[("a", vec![probe("ready", Readiness, 10)])], &[("db", probe("db", Readiness, 300))]);
    bench.fleet(vec![agent("a", &["db"], AgentState::Ready, 1)]);
    bench.run(12_000, |_, _| true);
    bench.board.take_news();
    bench.run(36_000, |target, _| target == "db");
    assert!(bench.told().iter().any(|told| matches!(told, Observation::NotReady { .. })));
}

#[test]
fn what_did_not_change_keeps_its_standing_over_a_reload() {
    let (kept, gone) = (probe("kept", Readiness, 30), probe("gone", Readiness, 30));
    let mut bench = Bench::new(&[("a", vec![gone, Arc::clone(&kept)])], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Ready, 1)]);
    bench.run(3000, |_, _| true);
    let probes = vec![probe("new", Readiness, 30), kept];
    let plan = Plan {
        agents: [("a".parse().expect("a name"), AgentPlan { probes, base: None })].into(),
        dependencies: BTreeMap::new(),
    };
    bench.board.set_plan(plan, bench.now, T0);
    let states: Vec<_> = bench.board.snapshot().into_iter().map(|s| (s.name, s.state)).collect();
    assert_eq!(states, [("new".into(), ProbeState::Unknown), ("kept".into(), ProbeState::Passing)]);
    let asked = bench.run(3000, |_, _| true);
    assert_eq!(asked, ["a/0 new"]);
    bench.fleet(vec![]);
    assert!(bench.board.snapshot().is_empty() && bench.run(100_000, |_, _| true).is_empty());
}

#[test]
fn first_looks_at_a_running_fleet_are_spread() {
    let agents: Vec<String> = (0..200).map(|n| format!("a{n}")).collect();
    let probes: Vec<_> =
        agents.iter().map(|name| (name.as_str(), vec![probe("ready", Readiness, 30)])).collect();
    let mut bench = Bench::new(&probes, &[]);
    bench.fleet(agents.iter().map(|name| agent(name, &[], AgentState::Ready, 1)).collect());
    let most = (0..40).map(|_| bench.run(50, |_, _| true).len()).max().expect("rounds");
    assert!(most < 40, "{most} of 200 first looks fell into one of 40 rounds");
}

#[test]
fn an_agent_without_gating_probes_is_not_called_ready_by_us() {
    let mut bench = Bench::new(&[("a", vec![])], &[]);
    bench.fleet(vec![agent("a", &[], AgentState::Starting, 1)]);
    bench.run(60_000, |_, _| true);
    assert_eq!(bench.told(), []);
}

#[test]
fn an_agent_without_gating_probes_is_well_again_when_what_it_needs_is_back() {
    let mut bench = Bench::new(&[("chat", vec![probe("alive", ProbeRole::Liveness, 5)])], &[]);
    let chat = |state| vec![agent("chat/0", &["orders"], state, 1)];
    bench.fleet(chat(AgentState::Ready));
    bench.run(10_000, |_, _| true);
    assert_eq!(bench.told(), []);
    bench.down("orders");
    let blocked = [Observation::NotReady { reason: "blocked by orders: refused".into() }];
    assert_eq!(bench.told(), blocked);
    bench.fleet(chat(AgentState::Degraded));
    bench.board.set_down([].into(), bench.now, T0);
    assert_eq!(bench.told(), [Observation::Ready]);
    bench.fleet(chat(AgentState::Ready));
    bench.run(60_000, |_, _| true);
    assert_eq!(bench.told(), []);

    // One that was never ready is not made so by that: it has yet to speak for itself.
    bench.fleet(vec![agent("chat/0", &["orders"], AgentState::Starting, 2)]);
    bench.down("orders");
    assert_eq!(bench.told(), blocked);
    bench.board.set_down([].into(), bench.now, T0);
    bench.run(60_000, |_, _| true);
    assert_eq!(bench.told(), []);
}
