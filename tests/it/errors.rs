//! Errors through the real binaries: what crashes, fails or is refused is there once, by what it is; it is resolved and
//! comes back; a kill forgets none of it; and of three hundred planted secrets none is written down.
use crate::support::{Daemon, agent, becomes, eventually};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// Of a dependency that is down: more than it takes to be called down.
const LOOKS: u64 = 6;

const MANIFEST: &str = r#"
schema = 1
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }

[[agent]]
name = "crasher"
kind = "process"
restart = { policy = "never" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "crasher", "--fault", "crash-at-start=database"] }

[[dependency]]
name = "orders-db"
kind = "tcp"
every = "100ms"
failure_threshold = 2
options = { host = "127.0.0.1", port = 1 }
"#;

fn errors(daemon: &Daemon, more: &[&str]) -> Vec<Value> {
    let list = daemon.ctl([&["error", "list", "-o", "json"], more].concat()).exits(0).json();
    list["errors"].as_array().expect("errors").clone()
}

/// The only group of an operation; None while there is none.
fn group(daemon: &Daemon, operation: &str) -> Option<Value> {
    let groups = errors(daemon, &["--all", "--operation", operation]);
    assert!(groups.len() < 2, "{groups:#?}");
    groups.into_iter().next()
}

fn id(group: &Value) -> String {
    group["id"].to_string()
}

#[test]
fn what_fails_is_recorded_resolved_seen_again_and_kept_over_a_kill() {
    let mut daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "crasher", "failed");
    assert!(eventually(|| group(&daemon, "probe").is_some()), "the probe's turn was not recorded");
    let crash = group(&daemon, "agent.crash").expect("the crash");
    assert_eq!((&crash["category"], &crash["agent"]), (&"database".into(), &"crasher".into()), "{crash:#}");
    assert_eq!((&crash["count"], &crash["severity"]), (&1.into(), &"high".into()), "{crash:#}");
    let probe = group(&daemon, "probe").expect("the probe");
    assert_eq!(
        (&probe["category"], &probe["agent"]),
        (&"external-service".into(), &Value::Null),
        "{probe:#}"
    );
    // Once per turn, however often it looks.
    let streak = || {
        let status = daemon.ctl(["status", "-o", "json"]).json();
        status["failing_probes"].as_array().and_then(|probes| probes.first()?["streak"].as_u64()).unwrap_or(0)
    };
    assert!(eventually(|| streak() >= LOOKS), "it was looked at {} times", streak());
    assert_eq!(group(&daemon, "probe").expect("the probe")["count"], 1);

    // A caller's own mistake: kept, and nobody's alarm.
    for name in ["nope", "nada"] {
        daemon.ctl(["agent", "stop", name, "--yes"]).exits(7);
    }
    let refused = group(&daemon, "agents/stop").expect("the refusal");
    assert_eq!((&refused["severity"], &refused["category"]), (&"low".into(), &"api".into()), "{refused:#}");
    assert!(!errors(&daemon, &[]).iter().any(|group| group["id"] == refused["id"]));
    let shown = daemon.ctl(["error", "show", &id(&refused), "-o", "json"]).exits(0).json();
    let one = &shown["occurrences"][0];
    let own = format!("user:{}", rustix::process::geteuid().as_raw());
    assert_eq!(one["client"], own.as_str(), "{shown:#}");
    assert!(one["correlation"].as_str().is_some_and(|id| id.len() == 16), "{shown:#}");

    let crash = id(&crash);
    daemon.ctl(["error", "assign", &crash, "--to", "shop"]).exits(0);
    let done = daemon.ctl(["error", "resolve", &crash, "--note", "the database is back"]).exits(0);
    assert_eq!(done.stdout, format!("error {crash} is resolved, assigned to shop\n"));
    daemon.ctl(["error", "resolve", &crash]).exits(7);
    daemon.ctl(["error", "resolve", "99999"]).exits(7);
    daemon.ctl(["error", "assign", &crash]).exits(2);
    daemon.ctl(["error", "list", "--category", "databse"]).exits(2);
    assert!(!errors(&daemon, &[]).iter().any(|group| id(group) == crash));
    daemon.ctl(["error", "ignore", &id(&probe), "--until", "2020-01-01"]).exits(2);
    daemon.ctl(["error", "ignore", &id(&probe), "--note", "no database here"]).exits(0);

    daemon.kill();
    daemon.launch();
    // It crashes again as the daemon starts it: what was said to be mended has come back.
    assert!(eventually(|| group(&daemon, "agent.crash").is_some_and(|group| group["state"] == "regressed")));
    let back = group(&daemon, "agent.crash").expect("the crash");
    assert_eq!((&back["count"], &back["regressions"]), (&2.into(), &1.into()), "{back:#}");
    assert_eq!(back["resolution"]["note"], "the database is back", "{back:#}");
    assert_eq!(group(&daemon, "agents/stop").expect("the refusals")["count"], 2);
    assert_eq!(group(&daemon, "probe").expect("the probe")["state"], "ignored");
    let status = daemon.ctl(["status"]);
    assert!(status.stdout.contains("errors      1 came back after being resolved"), "{status}");
    let table = daemon.ctl(["error", "list"]).exits(0);
    assert!(table.stdout.contains("regressed") && !table.stdout.contains("orders-db"), "{table}");
    let page = daemon.ctl(["error", "show", &crash]).exits(0);
    for text in ["came back", "shop", "psycopg2", "database", "newest 2 of 2"] {
        assert!(page.stdout.contains(text), "{text}: {page}");
    }
    let patterns = daemon.ctl(["error", "patterns", "--by", "agent", "-o", "json"]).exits(0).json();
    let counts: Vec<_> = patterns["patterns"].as_array().expect("patterns").iter().collect();
    assert!(counts.iter().any(|row| row["name"] == "crasher" && row["count"] == 2), "{patterns:#}");
    daemon.ctl(["error", "reopen", &id(&probe)]).exits(0);
    let rows: Vec<_> = ["errors/resolve", "errors/ignore", "errors/assign", "errors/reopen"].into();
    let audited = fs::read(daemon.path("state/agentd.db")).expect("a database");
    let wal = fs::read(daemon.path("state/agentd.db-wal")).unwrap_or_default();
    let found = held(&[audited, wal].concat(), &rows);
    assert_eq!(found, rows, "a change left no row in the audit trail");
}

#[test]
fn fifty_failures_are_fifty_occurrences() {
    let daemon = Daemon::start("schema = 1\n");
    for n in 0..50 {
        let answer = post(&daemon, "/v1/agents/stop", &format!("{{\"agents\": [\"absent-{n}\"]}}"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let group = group(&daemon, "agents/stop").expect("a group");
    assert_eq!(group["count"], 50, "{group:#}");
    let hours: u64 = group["hours"].as_array().expect("hours").iter().filter_map(Value::as_u64).sum();
    assert_eq!(hours, 50);
    let shown = daemon.ctl(["error", "show", &id(&group), "-o", "json"]).exits(0).json();
    assert_eq!(shown["occurrences"].as_array().map(Vec::len), Some(20), "the newest are kept");
}

/// Twelve shapes, twenty-five of each; no two alike.
fn secrets() -> Vec<String> {
    let mut all = Vec::new();
    for n in 0..25_u64 {
        let hex = format!(
            "{:016x}{:016x}",
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            n.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
        );
        let mixed: String = hex
            .chars()
            .enumerate()
            .map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        all.extend([
            format!("agc_{}_{mixed}{mixed}", &hex[..12]),
            format!("sk-proj-{hex}"),
            format!("ghp_{mixed}"),
            format!("AKIA{}", hex[..16].to_uppercase()),
            format!("xoxb-{}-{hex}", 1000 + n),
            format!("eyJhbGciOiJIUzI1NiJ9.eyJ{mixed}.{hex}"),
            format!("wJal{mixed}K7MDENGbPxRfiCYEXAMPLE{n}"),
            format!("postgres://app:Pw{}x@db.internal/orders", &hex[..10]),
            format!("password=Pw{}y", &hex[..10]),
            format!("\"api_key\": \"Pw{}z\"", &hex[..10]),
            format!("Authorization: Bearer Pw{}w", &hex[..10]),
            format!("https://api.example/x?access_token=Pw{}v&page=2", &hex[..10]),
        ]);
    }
    all
}

/// The part of it that must not be seen anywhere.
fn needle(secret: &str) -> String {
    match secret.find("Pw") {
        Some(at) => secret[at..at + 12].to_owned(),
        None => secret[secret.len() - 20..].to_owned(),
    }
}

#[test]
fn of_three_hundred_planted_secrets_none_is_written_down() {
    let secrets = secrets();
    assert_eq!(secrets.len(), 300);
    let mut manifest = String::from("schema = 1\n[daemon.log]\nlevel = \"debug\"\n");
    let (dying, probed) = (&secrets[..24], &secrets[24..48]);
    for n in 0..dying.len() {
        // Each in a file of its own: neither its command line nor its environment holds one.
        let _ = write!(
            manifest,
            "\n[[agent]]\nname = \"dying{n}\"\nkind = \"service\"\nrestart = {{ policy = \"never\" }}\n\
             options = {{ command = [\"/bin/sh\", \"-c\", \"cat {{home}}/words-{n} >&2; exit 1\"] }}\n\
             \n[[dependency]]\nname = \"probed{n}\"\nkind = \"exec\"\nevery = \"200ms\"\nfailure_threshold = 1\n\
             options = {{ command = [\"/bin/sh\", \"-c\", \"cat {{home}}/probe-{n}; exit 1\"] }}\n"
        );
    }
    let daemon = Daemon::prepared(&manifest);
    for (n, (dying, probed)) in dying.iter().zip(probed).enumerate() {
        fs::write(daemon.path(&format!("words-{n}")), format!("RuntimeError: cannot go on with {dying}\n"))
            .expect("written");
        fs::write(daemon.path(&format!("probe-{n}")), format!("no answer for {probed}\n")).expect("written");
    }
    let daemon = daemon.launched();
    for (n, secret) in secrets[48..].iter().enumerate() {
        let json = serde_json::to_string(secret).expect("text");
        let url: String = secret
            .bytes()
            .filter(|b| b.is_ascii_graphic() && !b"\"?#%".contains(b))
            .map(char::from)
            .collect();
        match n % 5 {
            0 => post(&daemon, "/v1/agents/stop", &format!("{{\"agents\": [{json}]}}")),
            1 => post(&daemon, "/v1/agents/scale", &format!("{{\"agent\": \"x\", \"replicas\": {json}}}")),
            2 => post(&daemon, "/v1/errors/resolve", &format!("{{\"id\": 1, \"note\": {json}}}")),
            3 => exchange(
                &daemon,
                &format!("GET /v1/{url} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\r\n"),
            ),
            _ => exchange(
                &daemon,
                &format!(
                    "GET /v1/errors/list?limit={url} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\n\r\n"
                ),
            ),
        };
    }
    assert!(eventually(
        || (0..dying.len()).all(|n| { agent(&daemon, &format!("dying{n}"))["state"] == "failed" })
    ));
    let all = |what: &str| errors(&daemon, &["--all", "--limit", "1000", "--operation", what]).len();
    assert!(
        eventually(|| all("agent.crash") >= 24 && all("probe") >= 24),
        "{} {}",
        all("agent.crash"),
        all("probe")
    );

    let mut seen = String::new();
    let groups = errors(&daemon, &["--all", "--limit", "1000"]);
    for group in &groups {
        seen += &daemon.ctl(["error", "show", &id(group), "-o", "wide"]).exits(0).stdout;
    }
    assert!(seen.contains("********"), "nothing was left out of {} groups", groups.len());
    for args in [
        &["status", "--all", "-o", "json"][..],
        &["status", "--all"],
        &["validate", "--only", "EH-026,CF-001", "-o", "json"],
    ] {
        seen += &daemon.ctl(args).stdout;
    }
    seen += &daemon.log();
    seen += &daemon.complaints();
    let mut bytes = seen.into_bytes();
    for file in ["agentd.db", "agentd.db-wal"] {
        bytes.extend(fs::read(daemon.path("state").join(file)).unwrap_or_default());
    }
    for (pid, _) in daemon.marked() {
        bytes.extend(fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        bytes.extend(fs::read(format!("/proc/{pid}/environ")).unwrap_or_default());
    }
    let needles: Vec<String> = secrets.iter().map(|secret| needle(secret)).collect();
    let leaked = held(&bytes, &needles.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(leaked.is_empty(), "{} of 300 are written down: {leaked:#?}", leaked.len());
    // The same look finds what is there.
    assert_eq!(held(&bytes, &["cannot go on with"]).len(), 1);
}

/// Which of the texts are in there, in one pass.
fn held<'a>(bytes: &[u8], texts: &[&'a str]) -> Vec<&'a str> {
    let all = regex::bytes::RegexSet::new(texts.iter().map(|text| regex::escape(text))).expect("a set");
    all.matches(bytes).into_iter().map(|at| texts[at]).collect()
}

fn post(daemon: &Daemon, path: &str, body: &str) -> String {
    let length = body.len();
    exchange(
        daemon,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: agentd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(daemon: &Daemon, request: &str) -> String {
    let mut stream = UnixStream::connect(daemon.socket()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(request.as_bytes()).expect("asked");
    io::read_to_string(stream).expect("an answer")
}
