//! kill -9 at any moment: the daemon starts again, forgets nothing that it acknowledged, and leaves no process behind.
use crate::support::{Daemon, eventually};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const KILLS: u32 = 100;
/// A life is cut anywhere between the daemon's first answer and this.
const LONGEST_LIFE_MS: u64 = 600;
const SERVICES: u32 = 6;

/// Twelve that behave, and one of each that does not: crashing again and again, unable to start, leaving grandchildren,
/// deaf to TERM, slow.
fn fleet() -> String {
    let mut manifest = String::from("schema = 1\n[daemon]\nstart_concurrency = 0\n");
    let mut agent = |name: &str, face: &str, faults: &[&str]| {
        let mut command = format!("{{agentctl}}, \"demo-agent\", \"{face}\", \"--name\", \"{name}\"");
        let (kind, port) = if face == "http" {
            command.push_str(", \"--port\", \"{port}\"");
            ("service", ", port = 0")
        } else {
            ("process", "")
        };
        for fault in faults {
            let _ = write!(command, ", \"--fault\", \"{fault}\"");
        }
        let _ = write!(
            manifest,
            "\n[[agent]]\nname = \"{name}\"\nkind = \"{kind}\"\nstop_timeout = \"1s\"\n\
             restart = {{ policy = \"always\", backoff = \"50ms..500ms\", latch = \"1000 in 1m\" }}\n\
             options = {{ command = [{command}]{port} }}\n"
        );
    };
    for number in 0..SERVICES {
        agent(&format!("svc{number}"), "http", &[]);
    }
    for number in 0..4 {
        agent(&format!("proc{number}"), "stdio", &[]);
    }
    agent("crasher", "http", &["crash-after=100"]);
    agent("crashp", "stdio", &["crash-after=70"]);
    agent("dead", "http", &["crash-at-start=import"]);
    agent("forker", "http", &["double-fork"]);
    agent("stubborn", "stdio", &["ignore-term", "double-fork"]);
    agent("slow", "http", &["slow-start=300"]);
    manifest
}

/// What was asked of an agent and acknowledged. None: a kill came between, so that either may be true.
#[derive(Clone, Copy, Debug)]
struct Wish {
    stopped: Option<bool>,
    replicas: Option<u32>,
}

struct Asked {
    agent: String,
    verb: &'static str,
    replicas: u32,
    client: Child,
}

/// Sends a random wish and does not wait for the answer: the kill may come before it, after it, or in between.
fn ask(daemon: &Daemon, random: &mut fastrand::Rng) -> Option<Asked> {
    let verb = ["none", "restart", "stop", "start", "scale"][random.usize(..5)];
    if verb == "none" {
        return None;
    }
    let agent = format!("svc{}", random.u32(..SERVICES));
    let replicas = random.u32(1..=3);
    let mut command = Command::new(crate::support::agentctl_bin());
    command.arg("--socket").arg(daemon.socket()).args(["agent", verb, &agent]);
    if verb == "scale" {
        command.arg(replicas.to_string());
    }
    let client = command.arg("--no-wait").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Asked { client: client.spawn().expect("agentctl runs"), agent, verb, replicas })
}

/// After the kill: exit 0 is the acknowledgement.
fn settle(asked: Asked, wishes: &mut BTreeMap<String, Wish>) {
    let Asked { agent, verb, replicas, mut client } = asked;
    let acknowledged = client.wait().expect("reaped").success();
    let wish = wishes.get_mut(&agent).expect("a wish");
    match verb {
        "scale" => wish.replicas = acknowledged.then_some(replicas),
        _ => {
            let stopped = verb == "stop";
            // Asked for what holds already, it holds whether or not the answer came.
            if acknowledged || wish.stopped != Some(stopped) {
                wish.stopped = acknowledged.then_some(stopped);
            }
        }
    }
}

fn agents(daemon: &Daemon) -> Vec<Value> {
    let list = daemon.ctl(["agent", "list", "-o", "json"]).exits(0).json();
    list["agents"].as_array().expect("a list").clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The first agent that is not as it was wished to be, in words.
fn complaint(agents: &[Value], wishes: &BTreeMap<String, Wish>) -> Option<String> {
    agents.iter().find_map(|agent| {
        let (name, state) = (text(agent, "name"), text(agent, "state"));
        let instances = agent["instances"].as_array().expect("instances");
        let well = match (name, wishes.get(name)) {
            ("dead", _) => state == "failed" && instances[0]["last_exit"]["class"] == "import",
            ("crasher" | "crashp", _) => !["failed", "stopped", "crash-looping"].contains(&state),
            (_, None) => state == "ready",
            (_, Some(wish)) => {
                let state_holds = match wish.stopped {
                    Some(true) => state == "stopped",
                    Some(false) => state == "ready",
                    None => ["stopped", "ready"].contains(&state),
                };
                state_holds && wish.replicas.is_none_or(|replicas| instances.len() == replicas as usize)
            }
        };
        (!well).then(|| format!("{name}, of which {:?} is known: {agent}", wishes.get(name)))
    })
}

/// Every process is one that the daemon knows, and none runs twice. The agents that crash all the time are left out:
/// theirs change between two looks.
fn unaccounted(daemon: &Daemon) -> Option<String> {
    let mut known = BTreeMap::new();
    for agent in agents(daemon) {
        for instance in agent["instances"].as_array().expect("instances") {
            if let Some(pid) = instance["pid"].as_i64() {
                known.insert(text(instance, "id").to_owned(), pid);
            }
        }
    }
    let crashes = |instance: &str| instance.starts_with("crash");
    let mut mains = BTreeSet::new();
    for (pid, instance) in daemon.marked().into_iter().filter(|(_, instance)| !crashes(instance)) {
        let Some(leader) = known.get(&instance) else {
            return Some(format!("process {pid} is marked {instance}, which has no process"));
        };
        // Grandchildren go by another name than the agent itself.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_main = !line.split(|byte| *byte == 0).any(|word| word == b"lurk");
        if is_main && i64::from(pid) != *leader {
            return Some(format!("process {pid} runs as {instance} beside {leader}"));
        }
        if is_main {
            mains.insert(instance);
        }
    }
    let missing = known.keys().find(|instance| !crashes(instance) && !mains.contains(*instance))?;
    Some(format!("{missing} is said to run and does not"))
}

#[test]
fn a_hundred_kills_lose_no_wish_and_leave_no_process() {
    let seed = std::env::var("AGENTCTL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let began = Instant::now();
    let mut daemon = Daemon::prepared(&fleet());
    let first = Wish { stopped: Some(false), replicas: Some(1) };
    let mut wishes: BTreeMap<_, _> = (0..SERVICES).map(|number| (format!("svc{number}"), first)).collect();
    for _ in 0..KILLS {
        daemon.launch();
        let asked = ask(&daemon, &mut random);
        // The random moment is what is tested: there is nothing to wait for.
        thread::sleep(Duration::from_millis(random.u64(..LONGEST_LIFE_MS)));
        daemon.kill();
        if let Some(asked) = asked {
            settle(asked, &mut wishes);
        }
    }
    daemon.launch();
    let settled = eventually(|| complaint(&agents(&daemon), &wishes).is_none());
    assert!(settled, "seed {seed}: {:?}\n{}", complaint(&agents(&daemon), &wishes), daemon.complaints());
    let accounted = eventually(|| unaccounted(&daemon).is_none());
    assert!(accounted, "seed {seed}: {:?}", unaccounted(&daemon));
    assert!(daemon.marked().len() > 10, "the scan of /proc sees nothing");

    daemon.ctl(["daemon", "stop"]).exits(0);
    let left = daemon.marked();
    assert!(left.is_empty(), "seed {seed}: alive after the stop: {left:?}");
    assert_eq!(daemon.ended(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new(), "seed {seed}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(180), "{took:?}: something in it hangs");
}

#[test]
fn what_was_acknowledged_holds_although_the_daemon_dies_at_once() {
    let mut daemon = Daemon::start(&fleet());
    let mut wishes = BTreeMap::new();
    for round in 0..6_u32 {
        let stopped = round % 2 == 0;
        let verb = if stopped { "stop" } else { "start" };
        daemon.ctl(["agent", verb, "svc0", "--no-wait"]).exits(0);
        daemon.kill();
        daemon.launch();
        wishes.insert("svc0".to_owned(), Wish { stopped: Some(stopped), replicas: Some(1) });
        let replicas = 1 + (round + 1) % 3;
        daemon.ctl(["agent", "scale", "svc1", &replicas.to_string(), "--no-wait"]).exits(0);
        daemon.kill();
        daemon.launch();
        wishes.insert("svc1".to_owned(), Wish { stopped: Some(false), replicas: Some(replicas) });
        let holds = eventually(|| complaint(&agents(&daemon), &wishes).is_none());
        assert!(holds, "round {round}: {:?}", complaint(&agents(&daemon), &wishes));
        assert!(eventually(|| unaccounted(&daemon).is_none()), "round {round}: {:?}", unaccounted(&daemon));
    }
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}
