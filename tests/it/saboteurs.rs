//! A whole fleet, sound at first, then broken from outside one thing at a time: the check that guards it must object, and
//! no other. And what a run leaves behind: its report, and nothing else; and that it says the same each time.
use crate::support::{Daemon, becomes, eventually, free_port, instance};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// Exercised controls that look at the real thing too.
const LIVE: &[&str] = &["AO-002", "SE-001", "SE-003", "SE-008"];
/// They speak of the past, which cannot be mended within a test.
const HISTORY: &[&str] = &["AO-008", "CF-014"];
/// How often a healthy fleet must say the same.
const TIMES: usize = 3;

/// An agent over its own channel, one over HTTP and one that reports, unless a file tells it to be silent.
const FLEET: &str = r#"
schema = 1
environment = "dev"
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }

[[agent]]
name = "orders"
kind = "process"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[[agent]]
name = "billing"
kind = "service"
owner = "shop"
start_timeout = "60s"
restart = { policy = "on-failure", backoff = "10ms..20ms", latch = "3 in 1m" }
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "http", "--name", "billing", "--port", "{port}"], port = PORT }

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "1s"
  deadline = "1s"
  options = { path = "/health", expect = { status = 200, json = { "$.status" = "healthy", "$.agent" = "billing" } } }

[[agent]]
name = "reporter"
kind = "service"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = ["sh", "-c", """
    while sleep 0.5; do test -e {home}/silent || "$0" report heartbeat; done""", {agentctl}] }

  [[agent.probe]]
  name = "reports"
  kind = "heartbeat"
  every = "1s"
  deadline = "1s"
  failure_threshold = 1
  options = { within = "5s" }
"#;

/// The manifest with a port of its own, and the daemon over it, once everything is well.
struct Stage {
    daemon: Daemon,
    manifest: String,
    port: u16,
    looks: String,
}

impl Stage {
    fn set(manifest: &str) -> Self {
        let port = free_port();
        let manifest = manifest.replace("PORT", &port.to_string());
        let daemon = Daemon::start(&manifest);
        for name in ["orders", "billing", "reporter"] {
            if manifest.contains(&format!("name = {name:?}\nkind")) {
                becomes(&daemon, name, "ready");
            }
        }
        let checks = daemon.ctl(["check", "list", "-o", "json"]).exits(0).json();
        let looks = |check: &&Value| {
            let among = |list: &[&str]| list.iter().any(|id| check["id"] == *id);
            among(LIVE)
                || !among(HISTORY) && check["exercised"] == false && check["category"] != "performance"
        };
        let ids = checks["checks"].as_array().expect("checks").iter().filter(looks);
        let ids: Vec<_> = ids.map(|check| check["id"].as_str().expect("an id").to_owned()).collect();
        assert!(ids.len() > 8, "{ids:?}");
        Self { daemon, manifest, port, looks: ids.join(",") }
    }

    fn report(&self) -> Value {
        self.daemon.ctl(["validate", "--only", &self.looks, "-o", "json"]).json()
    }

    fn reload(&self, from: &str, to: &str) {
        assert!(self.manifest.contains(from), "nothing to edit: {from}");
        self.daemon.rewrite(&self.manifest.replace(from, to));
        self.daemon.ctl(["config", "reload"]).exits(0);
    }

    fn kill(&self, agent: &str, signal: Signal) {
        let pid = instance(&self.daemon, agent)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Gone meanwhile is as good.
            let _ = kill_process(pid, signal);
        }
    }
}

/// How each check ended.
fn outcomes(report: &Value) -> BTreeMap<String, String> {
    let findings = report["findings"].as_array().expect("findings");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("text").to_owned();
    findings.iter().map(|finding| (text(finding, "id"), text(finding, "outcome"))).collect()
}

fn finding(report: &Value, id: &str) -> String {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["id"] == id).expect(id).to_string()
}

/// Undoes what was broken.
type Mend = Box<dyn FnOnce(&Stage)>;

struct Sabotage {
    what: &'static str,
    act: fn(&Stage) -> Mend,
    /// Of all checks exactly these may object, the first with this among its words.
    ids: &'static [&'static str],
    proof: &'static str,
}

/// Opens a path, and closes it again.
fn opened(path: &Path, mode: u32) -> Mend {
    let before = fs::metadata(path).expect("it is there").permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("opened");
    let path = path.to_owned();
    Box::new(move |_| fs::set_permissions(path, before).expect("closed"))
}

/// Another manifest in force, and the old one again.
fn reloaded(stage: &Stage, from: &str, to: &str) -> Mend {
    stage.reload(from, to);
    Box::new(|stage| stage.reload("schema", "schema"))
}

const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        what: "the database is open to everybody",
        act: |stage| opened(&stage.daemon.path("state/agentd.db"), 0o666),
        ids: &["SE-001"],
        proof: "0666",
    },
    Sabotage {
        what: "the directory of the socket is open to everybody",
        act: |stage| opened(&stage.daemon.path("run"), 0o777),
        ids: &["SE-001"],
        proof: "0777",
    },
    Sabotage {
        what: "everybody may write logs",
        act: |stage| opened(&stage.daemon.path("state/logs"), 0o707),
        ids: &["SE-001"],
        proof: "0707",
    },
    Sabotage {
        what: "the manifest was edited after the start",
        act: |stage| {
            stage.daemon.rewrite(&stage.manifest.replacen("512MiB", "513MiB", 1));
            Box::new(|stage| stage.daemon.rewrite(&stage.manifest))
        },
        ids: &["CF-001"],
        proof: "on disk",
    },
    Sabotage {
        what: "a contact is a placeholder",
        act: |stage| reloaded(stage, "oncall@shop.example", "todo@example.com"),
        ids: &["CF-006"],
        proof: "todo@example.com",
    },
    Sabotage {
        what: "an agent is killed until it latches",
        act: |stage| {
            let latched = eventually(|| {
                stage.kill("billing", Signal::KILL);
                instance(&stage.daemon, "billing")["state"] == "crash-looping"
            });
            assert!(latched, "it never latched");
            Box::new(|stage| drop(stage.daemon.ctl(["agent", "start", "billing"]).exits(0)))
        },
        ids: &["AO-001"],
        proof: "crash-looping",
    },
    Sabotage {
        what: "an agent answers 200 with a critical body",
        act: |stage| {
            reloaded(stage, r#""billing", "--port""#, r#""billing", "--fault", "lying-health", "--port""#)
        },
        ids: &["AO-001"],
        proof: "critical",
    },
    Sabotage {
        what: "an agent listens to the whole network",
        act: |stage| reloaded(stage, r#""{port}"]"#, r#""{port}", "--host", "0.0.0.0"]"#),
        ids: &["SE-008"],
        proof: "0.0.0.0",
    },
    Sabotage {
        what: "an agent stopped reporting",
        act: |stage| {
            fs::write(stage.daemon.path("silent"), "").expect("silenced");
            Box::new(|stage| fs::remove_file(stage.daemon.path("silent")).expect("it may speak"))
        },
        ids: &["AO-001"],
        proof: "silent for",
    },
    Sabotage {
        what: "an agent is frozen and answers nobody",
        act: |stage| {
            stage.kill("orders", Signal::STOP);
            Box::new(|stage| stage.kill("orders", Signal::CONT))
        },
        ids: &["AO-002"],
        proof: "orders/0",
    },
    Sabotage {
        what: "a stranger took the agent's port",
        act: |stage| {
            stage.daemon.ctl(["agent", "stop", "billing", "--yes"]).exits(0);
            becomes(&stage.daemon, "billing", "stopped");
            let stranger = TcpListener::bind(("127.0.0.1", stage.port)).expect("the port");
            stage.daemon.ctl(["agent", "start", "billing", "--no-wait"]);
            Box::new(move |_| drop(stranger))
        },
        ids: &["AO-001"],
        proof: "port",
    },
];

#[test]
fn whatever_is_broken_its_own_check_objects_and_no_other() {
    let stage = Stage::set(FLEET);
    let mut healthy = BTreeMap::new();
    let well = eventually(|| {
        healthy = outcomes(&stage.report());
        healthy.values().all(|outcome| ["pass", "warn", "not-applicable"].contains(&outcome.as_str()))
    });
    assert!(well, "the fleet is not well before anything is broken: {healthy:?}");
    for Sabotage { what, act, ids, proof } in SABOTAGES {
        let mend = act(&stage);
        let mut last = String::new();
        // A probe has to look first; after that the answer stands.
        let seen = eventually(|| {
            let report = stage.report();
            let now = outcomes(&report);
            let changed: BTreeSet<&str> = now
                .iter()
                .filter(|(id, now)| healthy.get(*id) != Some(now))
                .map(|(id, _)| id.as_str())
                .collect();
            let objected = changed.iter().all(|id| ["fail", "warn"].contains(&now[*id].as_str()));
            last = format!("{changed:?} changed; {}", finding(&report, ids[0]));
            objected && changed.iter().eq(ids.iter()) && finding(&report, ids[0]).contains(proof)
        });
        assert!(seen, "{what}: {ids:?} with `{proof}` expected: {last}");
        mend(&stage);
        let mended = eventually(|| outcomes(&stage.report()) == healthy);
        assert!(mended, "{what}, and mended: {:?}, before {healthy:?}", outcomes(&stage.report()));
    }
}

/// What there is of a daemon: files, rows of each table, processes, and who listens.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    files: BTreeSet<String>,
    rows: BTreeMap<String, i64>,
    processes: BTreeSet<i32>,
    listeners: BTreeSet<String>,
}

impl Traces {
    fn of(daemon: &Daemon) -> Self {
        let mut files = BTreeSet::new();
        collect(daemon.home(), daemon.home(), &mut files);
        let marked = daemon.marked().into_iter().map(|(pid, _)| pid);
        let processes: BTreeSet<i32> = marked.chain(children(daemon.pid())).collect();
        let sockets: BTreeSet<String> =
            processes.iter().chain([&daemon.pid()]).flat_map(|pid| sockets(*pid)).collect();
        Self { files, rows: rows(daemon), processes, listeners: listeners(&sockets) }
    }
}

fn collect(home: &Path, dir: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        into.insert(path.strip_prefix(home).expect("below").display().to_string());
        if entry.file_type().expect("a type").is_dir() {
            collect(home, &path, into);
        }
    }
}

/// Every process that the daemon is the parent of, zombies included.
fn children(daemon: i32) -> Vec<i32> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok()
    };
    pids.filter(|pid| parent(pid) == Some(daemon)).collect()
}

fn sockets(pid: i32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |entry: fs::DirEntry| {
        let to = fs::read_link(entry.path()).ok()?;
        Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    links.filter_map(inode).collect()
}

/// Local addresses at which one of these sockets listens.
fn listeners(inodes: &BTreeSet<String>) -> BTreeSet<String> {
    let tables =
        ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let listening = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[3] == "0A" && inodes.contains(fields[9])).then(|| fields[1].to_owned())
    });
    listening.collect()
}

fn rows(daemon: &Daemon) -> BTreeMap<String, i64> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file =
        rusqlite::Connection::open_with_flags(daemon.path("state/agentd.db"), flags).expect("a database");
    // What is measured every ten seconds goes on, whether somebody validates or not.
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'metric%'";
    let mut tables = file.prepare(sql).expect("a query");
    let names = tables.query_map([], |row| row.get::<_, String>(0)).expect("tables");
    let count = |name: &str| file.query_row(&format!("SELECT count(*) FROM {name:?}"), [], |row| row.get(0));
    names.flatten().map(|name| (name.clone(), count(&name).expect("a count"))).collect()
}

#[test]
fn a_run_says_the_same_each_time_and_leaves_nothing_behind_but_its_report() {
    let quiet = FLEET.split("\n[[agent]]\nname = \"reporter\"").next().expect("a manifest").to_owned();
    let daemon = Stage::set(&quiet).daemon;
    let outcomes_now = || {
        let answer = daemon.ctl(["validate", "-o", "json"]);
        let report = answer.json();
        let findings = report["findings"].as_array().expect("findings");
        let timed = |finding: &&Value| finding["category"] == "performance";
        let timed: BTreeSet<_> =
            findings.iter().filter(timed).map(|finding| finding["id"].to_string()).collect();
        let mut all = outcomes(&report);
        // A busy machine may leave a timing unmeasured.
        all.retain(|id, _| !timed.contains(&format!("{id:?}")));
        assert!(all.len() > 30 && !all.values().any(|outcome| outcome == "fail"), "{answer}");
        all
    };
    // The first may be the first ever, which is something that a check may speak of.
    outcomes_now();
    let mut before = Traces::of(&daemon);
    // What was adopted from a dead parent is reaped a little later.
    let reaped = eventually(|| {
        before = Traces::of(&daemon);
        before.processes.iter().all(|pid| fs::metadata(format!("/proc/{pid}/exe")).is_ok())
    });
    assert!(reaped && !before.listeners.is_empty() && before.files.len() > 5, "{before:?}");
    let first = outcomes_now();
    for time in 2..=TIMES {
        assert_eq!(outcomes_now(), first, "time {time}");
    }
    // A report, an event, and in the audit trail the intent and the verdict of each; every other table as it was.
    let times = i64::try_from(TIMES).expect("few");
    for table in ["runs", "reports", "events"] {
        *before.rows.get_mut(table).expect(table) += times;
    }
    *before.rows.get_mut("audit").expect("audit") += 2 * times;
    let gone = eventually(|| Traces::of(&daemon) == before);
    assert!(gone, "before: {before:?}\nafter: {:?}", Traces::of(&daemon));
}
