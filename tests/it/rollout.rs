//! Rollouts through the real binaries: a candidate that is as good, one that is slow, one that crashes; promoted, taken
//! back, ended by hand, by the switch, by a deployment and by kill -9; and what is refused before anything is started.
use crate::support::{Answer, Daemon, becomes, eventually, instance};
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
};

const MANIFEST: &str = r#"
schema = 1
releases.dir = "{home}/releases"

[rollout]
every = "20ms"
samples = 30
judge_every = "300ms"
failures = 2
latency_least = "60ms"

[[agent]]
name = "orders"
kind = "service"
artifact = "code"
user = "inherit"
start_timeout = "20s"
stop_timeout = "1s"
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "3 in 1m" }
options = { command = ["python3", "{artifact}/agent.py", "{port}"], port = 0 }
[[agent.probe]]
name = "ready"
kind = "http"
every = "1s"
options = { path = "/ready" }

[[agent]]
name = "billing"
kind = "process"
artifact = "other"
stop_timeout = "1s"
restart = { policy = "on-failure", backoff = "10ms..50ms", latch = "2 in 1m" }
options = { command = ["/bin/sh", "{artifact}/run.sh", {agentctl}] }
"#;

/// Answers after so long, and dies at its so manieth request.
fn agent(delay_s: f64, dies_at: u32) -> String {
    format!(
        "import http.server, os, sys, time\n\
         seen = 0\n\
         class H(http.server.BaseHTTPRequestHandler):\n \
          def do_GET(self):\n  \
           global seen\n  \
           seen += 1\n  \
           if seen == {dies_at}: os._exit(3)\n  \
           time.sleep({delay_s})\n  \
           self.send_response(200); self.end_headers(); self.wfile.write(b'ok')\n \
          def log_message(self, *a): pass\n\
         http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
}

const OTHER: &str = "exec \"$1\" demo-agent stdio --name billing\n";

/// A daemon with its code, and release r-1 of it deployed and stable.
fn fleet() -> Daemon {
    let mut daemon = Daemon::prepared(MANIFEST);
    for directory in ["code", "other"] {
        fs::create_dir(daemon.path(directory)).expect("a directory");
    }
    write(&daemon, &agent(0.0, 0));
    fs::write(daemon.path("other/run.sh"), OTHER).expect("written");
    daemon.launch();
    up(&daemon);
    release(&daemon, "r-1", None);
    let deployed = ["deploy", "r-1", "--unproved", "--yes", "--reason", "a test"];
    daemon.ctl(deployed).exits(0);
    daemon.ctl(["release", "bless", "r-1", "--unproved", "--reason", "a test"]).exits(0);
    up(&daemon);
    daemon
}

fn write(daemon: &Daemon, program: &str) {
    fs::write(daemon.path("code/agent.py"), program).expect("written");
}

fn release(daemon: &Daemon, id: &str, program: Option<&str>) {
    if let Some(program) = program {
        write(daemon, &format!("# {id}\n{program}"));
    }
    let made = daemon.ctl(["release", "create", "--note", "for a test", "-o", "json"]).exits(0).json();
    assert_eq!(made["release"]["id"], id, "{made:#}");
}

#[track_caller]
fn up(daemon: &Daemon) {
    becomes(daemon, "orders", "ready");
    becomes(daemon, "billing", "ready");
}

fn start(daemon: &Daemon, id: &str) -> Answer {
    daemon.ctl(["rollout", "start", "orders", "--to", id, "--reason", "a test"])
}

fn shown(daemon: &Daemon) -> Value {
    daemon.ctl(["rollout", "show", "orders", "-o", "json"]).json()
}

#[track_caller]
fn ends(daemon: &Daemon, state: &str) -> String {
    let ended = eventually(|| shown(daemon)["state"] == state);
    let shown = shown(daemon);
    assert!(ended, "not {state}: {shown:#}");
    shown["why"].as_str().expect("a reason").to_owned()
}

fn compared(daemon: &Daemon) -> bool {
    eventually(|| {
        let worth = shown(daemon)["comparison"]["worth"].clone();
        worth == "same" || worth == "better"
    })
}

fn pid(daemon: &Daemon) -> i64 {
    instance(daemon, "orders")["pid"].as_i64().expect("a pid")
}

/// Processes of the candidate, asked of the kernel.
fn candidates(daemon: &Daemon) -> Vec<i32> {
    let marked = daemon.marked().into_iter();
    marked.filter(|(_, instance)| instance == "orders/candidate").map(|(pid, _)| pid).collect()
}

/// Past agentctl, which looks at the plan first.
fn promote(daemon: &Daemon, unproved: bool) -> (u16, Value) {
    let plan = daemon.ctl(["deploy", "r-2", "--unproved", "--dry-run", "-o", "json"]).json();
    let body = json!({ "agent": "orders", "plan": plan["digest"], "unproved": unproved, "reason": "a test" });
    let body = body.to_string();
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    write!(
        stream,
        "POST /v1/rollouts/promote HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("asked");
    let answer = io::read_to_string(stream).expect("answered");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn a_candidate_that_is_as_good_is_promoted_and_one_that_was_not_compared_is_not() {
    let mut daemon = fleet();
    release(&daemon, "r-2", Some(&agent(0.0, 0)));
    let before = pid(&daemon);
    assert!(daemon.ctl(["rollout", "show", "orders"]).exits(7).stderr.contains("rollout start"));
    let begun = start(&daemon, "r-2").exits(0);
    assert!(begun.stdout.contains("orders/candidate of r-2"), "{begun}");
    let early = promote(&daemon, false);
    assert!(early.1.to_string().contains("unmeasured"), "{early:?}");
    let second = start(&daemon, "r-2").exits(7);
    assert!(second.stderr.contains("trying"), "{second}");

    assert!(compared(&daemon), "{:#}", shown(&daemon));
    let page = daemon.ctl(["rollout", "show", "orders"]).exits(0);
    assert!(
        page.stdout.contains("probe ready: p95") && page.stdout.contains("against what is stable"),
        "{page}"
    );
    // Beside the fleet, and not of it.
    let status = daemon.ctl(["status"]).exits(0);
    assert!(status.stdout.contains("rollout: orders/candidate of r-2 is ready, tried for"), "{status}");
    let listed = daemon.ctl(["agent", "show", "orders", "-o", "json"]).exits(0).json();
    assert_eq!(listed["agent"]["instances"].as_array().map(Vec::len), Some(1), "{listed:#}");
    assert_ne!(shown(&daemon)["candidate"]["port"], instance(&daemon, "orders")["port"]);
    daemon.ctl(["rollout", "start", "billing", "--to", "r-2"]).exits(0);
    assert!(eventually(|| daemon.marked().iter().any(|(_, instance)| instance == "billing/candidate")));
    let report = daemon.ctl(["validate", "--only", "AO-001,AO-002", "-o", "json"]).json();
    for finding in report["findings"].as_array().expect("findings") {
        assert_eq!(finding["outcome"], "pass", "a candidate was counted or asked: {finding:#}");
    }
    assert!(report.to_string().contains("a rollout is under way: orders/candidate of r-2"), "{report:#}");
    let held = daemon.ctl(["release", "delete", "r-2", "--yes"]).exits(6);
    assert!(held.stderr.contains("r-2"), "{held}");
    daemon.ctl(["config", "reload"]).exits(0);
    assert_eq!((candidates(&daemon).len(), pid(&daemon)), (1, before), "a reload touched it");
    let tried = candidates(&daemon);
    daemon.ctl(["agent", "restart", "orders", "billing", "--wait"]).exits(0);
    assert_eq!(candidates(&daemon), tried, "the end of what is stable was its end");

    // The comparison stands in nobody's way now; that nothing was validated does.
    let unproved = promote(&daemon, false);
    assert!(unproved.1.to_string().contains("validate"), "{unproved:?}");
    assert_eq!(candidates(&daemon).len(), 1, "a refusal ended it");
    let dry =
        daemon.ctl(["rollout", "promote", "orders", "--dry-run", "--unproved", "--reason", "x"]).exits(0);
    assert!(dry.stdout.contains("orders/candidate is tried beside the fleet, and is ended first"), "{dry}");
    daemon.ctl(["rollout", "promote", "orders", "--unproved", "--yes"]).exits(2);
    let promoted = ["rollout", "promote", "orders", "--unproved", "--reason", "as good", "--yes"];
    daemon.ctl(promoted).exits(0);
    ends(&daemon, "promoted");
    up(&daemon);
    assert_eq!(instance(&daemon, "orders")["release"], "r-2");
    assert_eq!(candidates(&daemon), Vec::<i32>::new());
    // The other one could not be had beside a deployment.
    let other = daemon.ctl(["rollout", "show", "billing", "-o", "json"]).json();
    assert_eq!(other["state"], "failed", "{other:#}");
    let again = daemon.ctl(["rollout", "abort", "orders"]).exits(7);
    assert!(again.stderr.contains("promoted"), "{again}");
    let audited = daemon.ctl(["audit", "list", "-o", "json"]).exits(0).stdout;
    for action in ["rollouts/start", "rollouts/promote"] {
        assert!(audited.contains(action), "{action}: {audited}");
    }
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn a_slow_one_and_one_that_crashes_end_by_themselves_and_what_is_stable_is_not_touched() {
    let daemon = fleet();
    let before = pid(&daemon);
    release(&daemon, "r-2", Some(&agent(0.15, 0)));
    start(&daemon, "r-2").exits(0);
    let why = ends(&daemon, "aborted");
    assert!(why.contains("worse 2 times in a row") && why.contains("p50"), "{why}");
    let page = daemon.ctl(["rollout", "show", "orders"]).exits(1);
    assert!(page.stdout.contains("worse"), "{page}");

    release(&daemon, "r-3", Some(&agent(0.0, 25)));
    start(&daemon, "r-3").exits(0);
    let why = ends(&daemon, "aborted");
    assert!(why.contains("crash"), "{why}");
    // It never comes up at all.
    release(&daemon, "r-4", Some("import sys\nsys.exit('ImportError: no module named orders')\n"));
    start(&daemon, "r-4").exits(0);
    let why = ends(&daemon, "aborted");
    assert!(why.contains("no module named orders") || why.contains("crash"), "{why}");
    let said = daemon.ctl(["agent", "logs", "orders/candidate"]).exits(0);
    assert!(said.stdout.contains("ImportError"), "{said}");

    assert_eq!((candidates(&daemon), pid(&daemon)), (Vec::new(), before));
    assert_eq!(instance(&daemon, "orders")["release"], "r-1");
    let list = daemon.ctl(["rollout", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["rollouts"].as_array().map(Vec::len), Some(3), "{list:#}");
    let log = daemon.ctl(["audit", "list", "--action", "rollouts/abort", "-o", "json"]).exits(0).json();
    assert_eq!(log["entries"].as_array().map(Vec::len), Some(3), "{log:#}");
}

#[test]
fn whatever_ends_the_fleet_or_the_daemon_ends_it_first() {
    let mut daemon = fleet();
    release(&daemon, "r-2", Some(&agent(0.0, 0)));
    let started = |daemon: &Daemon| {
        start(daemon, "r-2").exits(0);
        assert!(eventually(|| !candidates(daemon).is_empty()));
    };
    started(&daemon);
    let before = pid(&daemon);
    daemon.kill();
    daemon.launch();
    let why = ends(&daemon, "failed");
    assert!(why.contains("agentd ended while it was tried"), "{why}");
    up(&daemon);
    assert_eq!((candidates(&daemon), pid(&daemon)), (Vec::new(), before), "what is stable was not adopted");

    started(&daemon);
    let aborted = daemon.ctl(["rollout", "abort", "orders", "--reason", "seen enough"]).exits(0);
    assert!(aborted.stdout.contains("nothing of orders/candidate is alive"), "{aborted}");
    assert_eq!((candidates(&daemon), pid(&daemon)), (Vec::new(), before));
    assert_eq!(shown(&daemon)["state"], "aborted");

    started(&daemon);
    let off = daemon.ctl(["system", "off", "--reason", "a test", "--yes"]).exits(0);
    assert!(
        off.stdout.contains("orders/candidate was ended with it") && off.stdout.contains("0 processes"),
        "{off}"
    );
    let why = ends(&daemon, "failed");
    assert!(why.contains("switched off"), "{why}");
    let refused = start(&daemon, "r-2").exits(6);
    assert!(refused.stderr.contains("switched off"), "{refused}");
    daemon.ctl(["system", "on"]).exits(0);
    up(&daemon);

    started(&daemon);
    daemon.ctl(["deploy", "r-2", "--unproved", "--yes", "--reason", "a test"]).exits(0);
    let why = ends(&daemon, "failed");
    assert!(why.contains("deploy r-2") || why.contains("switched off"), "{why}");
    assert_eq!(candidates(&daemon), Vec::<i32>::new());

    up(&daemon);
    release(&daemon, "r-3", Some(&agent(0.0, 0)));
    start(&daemon, "r-3").exits(0);
    assert!(eventually(|| !candidates(&daemon).is_empty()));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
    daemon.launch();
    assert!(ends(&daemon, "failed").contains("agentd was stopped"));
}

#[test]
fn a_deployment_that_is_taken_back_fails_it_and_one_that_outlives_agentd_is_followed() {
    let mut daemon = fleet();
    fs::write(daemon.path("other/run.sh"), "exit 1\n").expect("written");
    release(&daemon, "r-2", Some(&agent(0.0, 0)));
    fs::write(daemon.path("other/run.sh"), OTHER).expect("written");
    start(&daemon, "r-2").exits(0);
    assert!(compared(&daemon), "{:#}", shown(&daemon));
    // As good by itself; the fleet is not.
    daemon.ctl(["rollout", "promote", "orders", "--unproved", "--reason", "x", "--yes"]).exits(1);
    let why = ends(&daemon, "failed");
    assert!(why.contains("unwound"), "{why}");
    up(&daemon);
    assert_eq!(instance(&daemon, "orders")["release"], "r-1");

    release(&daemon, "r-3", Some(&agent(0.0, 0)));
    start(&daemon, "r-3").exits(0);
    assert!(compared(&daemon), "{:#}", shown(&daemon));
    let promoted = ["rollout", "promote", "orders", "--unproved", "--reason", "x", "--yes", "--detach"];
    daemon.ctl(promoted).exits(0);
    let busy = start(&daemon, "r-2").exits(6);
    assert!(busy.stderr.contains("is under way"), "{busy}");
    daemon.kill();
    daemon.launch();
    let why = ends(&daemon, "promoted");
    assert!(why.contains("op-"), "{why}");
    up(&daemon);
    assert_eq!((instance(&daemon, "orders")["release"].clone(), candidates(&daemon)), ("r-3".into(), vec![]));
}

#[test]
fn what_could_not_be_tried_is_refused_before_anything_is_started() {
    let daemon = fleet();
    release(&daemon, "r-2", Some(&agent(0.0, 0)));
    for (args, code, said) in [
        (vec!["orders", "--to", "r-1"], 6, "it is what runs"),
        (vec!["orders", "--to", "r-9"], 7, "cannot find release r-9"),
        (vec!["ordres", "--to", "r-2"], 7, "enables no such agent"),
        (vec!["orders", "--to", "r-2", "--share", "10"], 6, "no queue"),
        (vec!["orders", "--to", "r-2", "--share", "11"], 2, "10, 50 or 100"),
        (vec!["orders", "--to", "r-2", "--reason", "a\nb"], 2, "one line"),
    ] {
        let answer = daemon.ctl([&["rollout", "start"][..], &args[..]].concat()).exits(code);
        assert!(answer.stderr.contains(said), "{args:?}: {answer}");
    }
    // A port that the program was not told of cannot be another one.
    let fixed = MANIFEST.replace("\"{port}\"], port = 0", "\"28471\"], port = 28471");
    daemon.rewrite(&fixed);
    release(&daemon, "r-3", None);
    let clash = start(&daemon, "r-3").exits(6);
    assert!(clash.stderr.contains("port 28471 is fixed") && clash.stderr.contains("{port}"), "{clash}");
    // What it would be asked, what is stable would answer.
    daemon.rewrite(&MANIFEST.replace("path = \"/ready\"", "path = \"/ready\", port = 28471"));
    release(&daemon, "r-4", None);
    let elsewhere = start(&daemon, "r-4").exits(6);
    assert!(elsewhere.stderr.contains("asks one address"), "{elsewhere}");
    daemon.rewrite(MANIFEST);

    let code = daemon.path("releases/r-2/orders/agent.py");
    let mut about = fs::metadata(&code).expect("the copy").permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "it is changed behind agentd's back on purpose"
    )]
    about.set_readonly(false);
    fs::set_permissions(&code, about).expect("writable");
    let whole = fs::read(&code).expect("read");
    fs::write(&code, "import sys\n").expect("tampered with");
    let changed = start(&daemon, "r-2").exits(7);
    assert!(changed.stderr.contains("agent.py"), "{changed}");
    assert_eq!(candidates(&daemon), Vec::<i32>::new());
    let none = daemon.ctl(["rollout", "list"]).exits(0);
    assert!(none.stdout.contains("no rollout"), "{none}");
    // As it was recorded, it is tried.
    fs::write(&code, whole).expect("mended");
    fs::set_permissions(&code, std::os::unix::fs::PermissionsExt::from_mode(0o444)).expect("frozen again");
    start(&daemon, "r-2").exits(0);
}
