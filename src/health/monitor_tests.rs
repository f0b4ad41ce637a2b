//! The monitor over a made-up fleet and real sockets.
use super::*;
use crate::{
    config::{AgentSettings, ProbeSettings},
    domain::{AgentState, AgentStatus, InstanceStatus, Period, ProbeRole, ProbeState, Separation},
    health::look::tests::settings,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Says what it is told to say and remembers what it was told.
struct Stage {
    fleet: Mutex<FleetSnapshot>,
    bell: watch::Sender<u64>,
    heard: Mutex<Vec<(String, u64, Observation)>>,
    rung: Notify,
}

impl Stage {
    fn new(agents: Vec<Arc<AgentStatus>>) -> Arc<Self> {
        Arc::new(Self {
            fleet: Mutex::new(FleetSnapshot { agents: agents.into(), version: 1 }),
            bell: watch::Sender::new(1),
            heard: Mutex::default(),
            rung: Notify::new(),
        })
    }

    /// Waits until this was told.
    async fn hears(&self, wanted: impl Fn(&str, &Observation) -> bool) {
        let waited = timeout(Duration::from_secs(20), async {
            loop {
                let rung = self.rung.notified();
                if self.heard.lock().expect("unpoisoned").iter().any(|(name, _, told)| wanted(name, told)) {
                    return;
                }
                rung.await;
            }
        });
        assert!(waited.await.is_ok(), "only heard {:?}", self.heard.lock().expect("unpoisoned"));
    }

    fn note(&self, name: String, generation: u64, observation: Observation) {
        self.heard.lock().expect("unpoisoned").push((name, generation, observation));
        self.rung.notify_one();
    }
}

impl Fleet for Stage {
    fn snapshot(&self) -> FleetSnapshot {
        self.fleet.lock().expect("unpoisoned").clone()
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
    fn observe(&self, instance: &InstanceId, generation: u64, observation: Observation) {
        self.note(instance.to_string(), generation, observation);
    }
    fn observe_dependency(&self, name: &str, observation: Observation) {
        self.note(name.to_owned(), 0, observation);
    }
    fn dependencies_down(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

fn agent(name: &str, probes: &[ProbeSettings], port: Option<u16>) -> (AgentSettings, Arc<AgentStatus>) {
    let declared: Vec<Value> =
        probes.iter().map(|probe| serde_json::to_value(probe).expect("JSON")).collect();
    let declared = json!({
        "name": name, "kind": "service", "probe": declared, "options": {"command": ["true"]},
    });
    let id: InstanceId = name.parse().expect("a name");
    let status = AgentStatus {
        name: id.agent.clone(),
        kind: "service".into(),
        tier: "core".into(),
        owner: None,
        state: AgentState::Starting,
        replicas: 1,
        depends_on: Vec::new(),
        instances: vec![InstanceStatus {
            id,
            state: AgentState::Starting,
            reason: None,
            pid: i32::try_from(std::process::id()).ok(),
            generation: 3,
            port,
            adopted: false,
            since: None,
            started_at: None,
            ready_at: None,
            restarts: 0,
            last_exit: None,
            separation: Separation::None,
            release: None,
        }],
    };
    (serde_json::from_value(declared).expect("settings"), Arc::new(status))
}

fn over(agents: Vec<(AgentSettings, Arc<AgentStatus>)>) -> (Settings, Arc<Stage>) {
    let (declared, statuses) = agents.into_iter().unzip();
    (Settings { agents: declared, ..Settings::default() }, Stage::new(statuses))
}

#[tokio::test]
async fn hanging_targets_delay_no_other() {
    // Accepts by its backlog and never says a word.
    let hole = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = hole.local_addr().expect("an address").port();
    let mut slow = settings("http", json!({"path": "/", "identity": false}));
    slow.deadline = Period::secs(60);
    let mut agents: Vec<_> =
        (0..50).map(|n| agent(&format!("slow{n}"), &[slow.clone()], Some(port))).collect();
    agents.push(agent("quick", &[settings("process", json!({}))], None));
    let (settings, stage) = over(agents);
    let monitor = Monitor::watch(
        &settings,
        Arc::clone(&stage) as Arc<dyn Fleet>,
        Clock::system(),
        Policies::new(Clock::system()),
    );
    stage.hears(|name, told| name == "quick/0" && *told == Observation::Ready).await;
    assert_eq!(stage.heard.lock().expect("unpoisoned")[0].1, 3, "the generation it was seen in");
    timeout(Duration::from_secs(5), monitor.shutdown()).await.expect("hanging looks held up the end");
}

#[tokio::test]
async fn dependencies_are_told_by_name_and_recover() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let declared = json!({
        "name": "db", "kind": "tcp", "every": "100ms", "failure_threshold": 2, "options": {"port": port},
    });
    let dependency = serde_json::from_value(declared).expect("settings");
    let settings = Settings { dependencies: vec![dependency], ..Settings::default() };
    let stage = Stage::new(vec![]);
    let monitor = Monitor::watch(
        &settings,
        Arc::clone(&stage) as Arc<dyn Fleet>,
        Clock::system(),
        Policies::new(Clock::system()),
    );
    stage.hears(|name, told| name == "db" && *told == Observation::Ready).await;
    drop(listener);
    stage
        .hears(|_, told| matches!(told, Observation::NotReady { reason } if reason.contains("refused")))
        .await;
    assert_eq!(monitor.snapshot()[0].state, ProbeState::Failing);
    stage.heard.lock().expect("unpoisoned").clear();
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port again");
    stage.hears(|name, told| name == "db" && *told == Observation::Ready).await;
    monitor.shutdown().await;
}

#[tokio::test]
async fn a_heartbeat_makes_ready_at_once_and_a_stranger_is_refused() {
    let mut beat = settings("heartbeat", json!({"within": "30s"}));
    beat.role = ProbeRole::Startup;
    let (settings, stage) = over(vec![agent("a", &[beat], None)]);
    let monitor = Monitor::watch(
        &settings,
        Arc::clone(&stage) as Arc<dyn Fleet>,
        Clock::system(),
        Policies::new(Clock::system()),
    );
    stage
        .hears(|_, told| matches!(told, Observation::NotReady { reason } if reason.contains("no report")))
        .await;
    let stranger: InstanceId = "b/0".parse().expect("a name");
    assert_eq!(monitor.heartbeat(&stranger).expect_err("taken").kind, crate::domain::FaultKind::NotFound);
    monitor.heartbeat(&"a/0".parse().expect("a name")).expect("taken");
    stage.hears(|name, told| name == "a/0" && *told == Observation::Ready).await;
    monitor.shutdown().await;
}
