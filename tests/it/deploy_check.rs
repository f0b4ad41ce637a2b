//! The checklist of a deployment through the real binaries: a go, a no-go and neither; whose word counts, for what and
//! for how long; and what is refused.
use crate::support::{Answer, Daemon, agentctl, becomes, eventually, redact};
use agentctl::domain::Report;
use regex::Regex;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const MANIFEST: &str = r#"
schema = 1
environment = "staging"
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }

[[agent]]
name = "orders"
kind = "process"
tier = "core"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[checklist]
valid_for = "2d"

[[checklist.item]]
id = "cors-closed"
title = "no foreign page is let in"
kind = "cors"
group = "security"
owner = "shop"
hint = "name your own origins in the gateway"
timeout = "2s"
options = { url = "http://SERVER/" }

[[checklist.item]]
id = "contacts-real"
title = "whoever is called at night exists"
kind = "checks"
group = "configuration"
owner = "shop"
options = { ids = ["CF-006"] }

[[checklist.item]]
id = "agents-ready"
title = "every enabled agent is ready"
kind = "agents"
group = "agent-operations"
phases = ["pre", "post"]
owner = "shop"

[[checklist.item]]
id = "way-back-known"
title = "whoever is on call has read how this is taken back"
kind = "attest"
group = "agent-operations"
owner = "shop"

[[checklist.item]]
id = "alert-arrives"
title = "a test alert arrived"
kind = "alerts"
group = "health-monitoring"
severity = "advised"
owner = "shop"

[[checklist.item]]
id = "backup-drilled"
title = "a backup was restored in a drill"
kind = "backup"
group = "database"
phases = ["post"]
owner = "shop"
"#;

/// A server whose answers let foreign pages in, or do not; or that takes requests and never answers.
struct Gateway {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
}

impl Gateway {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (open, silent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let gateway = Self {
            address: listener.local_addr().expect("an address"),
            open: Arc::clone(&open),
            silent: Arc::clone(&silent),
        };
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let _ = stream.read(&mut [0; 4096]);
                if silent.load(Ordering::SeqCst) {
                    held.push(stream);
                    continue;
                }
                let allow = if open.load(Ordering::SeqCst) {
                    "access-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\n"
                } else {
                    ""
                };
                let body = "\u{1b}[2Jhostile";
                let length = body.len();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\n{allow}content-length: {length}\r\n\r\n{body}");
            }
        });
        gateway
    }
}

fn daemon(gateway: &Gateway, more: &str) -> Daemon {
    let manifest = MANIFEST.replace("SERVER", &gateway.address.to_string()) + more;
    let daemon = Daemon::start(&manifest);
    becomes(&daemon, "orders", "ready");
    daemon
}

fn attest(daemon: &Daemon, more: &[&str]) -> Answer {
    let asked = ["deploy-check", "attest", "way-back-known", "--by", "ana", "--note", "read with the shift"];
    daemon.ctl([&asked[..], more].concat())
}

/// What is said, without what differs from run to run.
fn said(daemon: &Daemon, answer: &Answer) -> String {
    let digest = Regex::new("configuration [0-9a-f]{12}").expect("a pattern");
    let took = Regex::new(r"· [0-9.]+ s ·|\[took\]·").expect("a pattern");
    let uid = Regex::new(r"\(user:\d+, uid \d+\)").expect("a pattern");
    let text = redact(&answer.stdout, daemon.home());
    let text = digest.replace_all(&text, "configuration [digest]").into_owned();
    let text = uid.replace_all(&text, "([principal])").into_owned();
    took.replace_all(&text, "· [took] ·").into_owned()
}

#[test]
fn a_no_go_and_a_go_say_why_item_by_item_and_their_reports_hold() {
    let gateway = Gateway::start();
    let daemon = daemon(&gateway, "");
    gateway.open.store(true, Ordering::SeqCst);
    let no_go = daemon.ctl(["deploy-check"]).exits(1);
    let wanted = "\
NO-GO  phase pre in staging: of 5 items 2 hold, 1 do not, 2 are unmeasured
run 1 · [time] · [took] · agentd [version] · configuration [digest]
because  item cors-closed failed: no foreign page is let in: asked from https://foreign.invalid it lets every page in, with credentials
         item way-back-known is unmeasured (skipped): whoever is on call has read how this is taken back: nobody answers for it

health-monitoring
  SKIPPED         alert-arrives  a test alert arrived  [advised]
    agentd sends no alerts yet, so none was seen to arrive

configuration
  pass            contacts-real  whoever is called at night exists

agent-operations
  pass            agents-ready  every enabled agent is ready
  SKIPPED         way-back-known  whoever is on call has read how this is taken back
    nobody answers for it
    try: `agentctl deploy-check attest way-back-known --by NAME --note TEXT`, if you have seen it

security
  FAIL            cors-closed  no foreign page is let in
    asked from https://foreign.invalid it lets every page in, with credentials
      · held: asked from https://foreign.invalid it answers 200
      · BROKEN: asked from https://foreign.invalid it lets every page in, with credentials
      · BROKEN: preflight: asked from https://foreign.invalid it lets every page in, with credentials
      · held: asked from null it answers 200
      · BROKEN: asked from null it lets every page in, with credentials
      · BROKEN: preflight: asked from null it lets every page in, with credentials
    try: name your own origins in the gateway
";
    assert_eq!(said(&daemon, &no_go), wanted, "{no_go}");

    gateway.open.store(false, Ordering::SeqCst);
    let unsure = daemon.ctl(["deploy-check", "--quiet"]).exits(3);
    assert!(unsure.stdout.starts_with("INCONCLUSIVE: deploy-check 2 of staging, phase pre\n"), "{unsure}");
    attest(&daemon, &[]).exits(0);
    let go = daemon.ctl(["deploy-check"]).exits(0);
    let wanted = "\
GO  phase pre in staging: of 5 items 4 hold, 1 are unmeasured
run 3 · [time] · [took] · agentd [version] · configuration [digest]

health-monitoring
  SKIPPED         alert-arrives  a test alert arrived  [advised]
    agentd sends no alerts yet, so none was seen to arrive

configuration
  pass            contacts-real  whoever is called at night exists

agent-operations
  pass            agents-ready  every enabled agent is ready
  pass            way-back-known  whoever is on call has read how this is taken back

security
  pass            cors-closed  no foreign page is let in
";
    assert_eq!(said(&daemon, &go), wanted, "{go}");
    assert_eq!(daemon.ctl(["deploy-check", "--quiet"]).exits(0).stdout, "");

    // The same report in every form, and it can be held against itself.
    let junit = daemon.path("report.xml");
    let json = daemon.ctl([
        "deploy-check",
        "-o",
        "json",
        "--output-file",
        &format!("junit={}", junit.display()),
        "--release",
        "r7",
    ]);
    let xml = fs::read_to_string(&junit).expect("junit");
    assert!(xml.contains("agentctl deploy-check") && xml.contains("value=\"GO\""), "{xml}");
    let file = daemon.path("report.json");
    fs::write(&file, &json.exits(0).stdout).expect("written");
    agentctl(["report", "verify", file.to_str().expect("text")]).exits(0);
    let mut report: Report = serde_json::from_slice(&fs::read(&file).expect("read")).expect("a report");
    assert_eq!(report.checklist.as_ref().and_then(|list| list.release.as_deref()), Some("r7"));
    report.findings.iter_mut().for_each(|f| f.outcome = agentctl::domain::Outcome::Fail);
    fs::write(&file, serde_json::to_vec(&report).expect("json")).expect("written");
    agentctl(["report", "verify", file.to_str().expect("text")]).exits(1);

    // They are runs of their own, of which `validate` knows nothing.
    assert!(daemon.ctl(["validate", "list"]).exits(0).stdout.contains("no validation has run"));
    let listed = daemon.ctl(["deploy-check", "list"]).exits(0).stdout;
    assert!(listed.contains("NO-GO") && listed.contains("INCONCLUSIVE") && listed.contains("GO"), "{listed}");
    assert_eq!(
        daemon.ctl(["deploy-check", "show", "1"]).exits(1).stdout.lines().next(),
        no_go.stdout.lines().next()
    );
    assert!(daemon.ctl(["deploy-check", "show"]).exits(0).stdout.starts_with("GO"));
}

#[test]
fn a_word_counts_for_its_item_environment_and_time_and_survives_a_kill() {
    let gateway = Gateway::start();
    let mut daemon = daemon(&gateway, "");
    let minutes = daemon.path("minutes.txt");
    fs::write(&minutes, "who was there\n").expect("written");
    let shown = ["--evidence", minutes.to_str().expect("text"), "--expires", "5d", "-o", "json"];
    let kept = attest(&daemon, &shown).exits(0).json();
    assert_eq!((&kept["id"], &kept["by"]), (&1.into(), &"ana".into()), "{kept:#}");
    assert_eq!(kept["uid"], rustix::process::geteuid().as_raw(), "{kept:#}");
    assert_eq!(
        kept["evidence"]["sha256"], "1b56f9cd98caaed207bf06089fab022c84a10831c3e187bd7f11d9214685a093",
        "{kept:#}"
    );
    assert_eq!(kept["evidence"]["bytes"], 14);
    daemon.kill();
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    daemon.ctl(["deploy-check"]).exits(0);
    let saved = daemon.path("saved");
    let again = ["deploy-check", "attest", "evidence", "1", "--save", saved.to_str().expect("text")];
    daemon.ctl(again).exits(0);
    assert_eq!(fs::read_to_string(&saved).expect("read"), "who was there\n");

    // On the day that it has lapsed, it counts as missing.
    let lapsed = daemon.ctl(["deploy-check", "--as-of", "2200-01-01"]).exits(3);
    assert!(lapsed.stdout.contains("expired"), "{lapsed}");
    // What was read then reads differently now: it is no word for that.
    let manifest = fs::read_to_string(daemon.path("agentd.toml")).expect("a manifest");
    let other = manifest.replace("has read how this is taken back", "has tried how this is taken back");
    assert_ne!(other, manifest);
    fs::write(daemon.path("agentd.toml"), &other).expect("written");
    daemon.ctl(["config", "reload"]).exits(0);
    let void = daemon.ctl(["deploy-check"]).exits(3);
    assert!(void.stdout.contains("void, for the item reads differently now"), "{void}");
    assert!(daemon.ctl(["deploy-check", "attest", "list"]).exits(0).stdout.contains("void"));
    fs::write(daemon.path("agentd.toml"), &manifest).expect("written");
    daemon.ctl(["config", "reload"]).exits(0);
    daemon.ctl(["deploy-check"]).exits(0);

    daemon.ctl(["deploy-check", "attest", "revoke", "1"]).exits(0);
    daemon.ctl(["deploy-check", "attest", "revoke", "1"]).exits(7);
    daemon.ctl(["deploy-check", "attest", "revoke", "77"]).exits(7);
    let revoked = daemon.ctl(["deploy-check"]).exits(3);
    assert!(revoked.stdout.contains("revoked"), "{revoked}");
    attest(&daemon, &["--release", "r7"]).exits(0);
    daemon.ctl(["deploy-check"]).exits(3);
    daemon.ctl(["deploy-check", "--release", "r8"]).exits(3);
    daemon.ctl(["deploy-check", "--release", "r7"]).exits(0);
    // No backup is no go; one that was restored in a drill is.
    let post = daemon.ctl(["deploy-check", "--phase", "post"]).exits(1);
    assert!(post.stdout.contains("there is no backup"), "{post}");
    daemon.ctl(["backup", "create"]).exits(0);
    daemon.ctl(["deploy-check", "--phase", "post"]).exits(1);
    daemon.ctl(["backup", "drill"]).exits(0);
    daemon.ctl(["deploy-check", "--phase", "post"]).exits(0);
    let only = daemon.ctl(["deploy-check", "--phase", "post", "--only", "agents-ready"]).exits(0);
    assert!(only.stdout.starts_with("PARTIAL"), "{only}");
    let audit = daemon.ctl(["audit", "list", "--action", "attestations"]).exits(0).stdout;
    assert!(audit.contains("attestation/1") && audit.contains("attestation/2"), "{audit}");
}

#[test]
fn what_cannot_be_asked_or_attested_is_refused_with_the_code_that_says_why() {
    let gateway = Gateway::start();
    let daemon = daemon(&gateway, "");
    let (large, empty) = (daemon.path("large"), daemon.path("empty"));
    fs::write(&large, vec![b'x'; 641 << 10]).expect("written");
    fs::write(&empty, "").expect("written");
    let file = |path: &Path| path.to_str().expect("text").to_owned();
    let word = |item: &str, more: &[&str]| {
        let asked = ["deploy-check", "attest", item, "--by", "ana", "--note", "seen"];
        daemon.ctl([&asked[..], more].concat())
    };
    for (answer, code, told) in [
        (word("way-back-knwon", &[]), 7, "did you mean `way-back-known`?"),
        (word("cors-closed", &[]), 6, "nobody's word is taken for it"),
        (word("way-back-known", &["--expires", "91d"]), 2, "too far ahead"),
        (word("way-back-known", &["--expires", "2020-01-01"]), 2, "expired already"),
        (word("way-back-known", &["--evidence", "/no/such/file"]), 2, "No such file"),
        (word("way-back-known", &["--evidence", &file(&large)]), 2, "larger than 640 KiB"),
        (word("way-back-known", &["--evidence", &file(&empty)]), 2, "is empty"),
        (word("way-back-known", &["--environment", "production"]), 7, "this daemon runs staging"),
        (word("way-back-known", &["--release", "a b"]), 2, "no name of a release"),
        (
            daemon.ctl(["deploy-check", "attest", "way-back-known", "--by", "", "--note", "x"]),
            2,
            "--by is blank",
        ),
        (daemon.ctl(["deploy-check", "attest", "way-back-known", "--by", "ana"]), 2, "--note"),
        (daemon.ctl(["deploy-check", "--only", "cors-close"]), 2, "did you mean `cors-closed`?"),
        (daemon.ctl(["deploy-check", "--skip", "databse"]), 2, "cannot find an item or a group"),
        (daemon.ctl(["deploy-check", "--environment", "production"]), 7, "this daemon runs staging"),
        (daemon.ctl(["deploy-check", "--phase", "long"]), 2, "pre, post, short and extended"),
        (daemon.ctl(["deploy-check", "--as-of", "2020-01-01"]), 2, "is past"),
        (daemon.ctl(["deploy-check", "show", "9"]), 7, "cannot find a report"),
        (daemon.ctl(["deploy-check", "show"]), 7, "none has finished yet"),
        (daemon.ctl(["deploy-check", "items", "-o", "junit"]), 2, "has that form"),
    ] {
        assert!(answer.code == code && answer.stderr.contains(told), "{code} {told}: {answer}");
    }
    assert!(
        daemon.ctl(["deploy-check", "attest", "list", "--all"]).exits(0).stdout.contains("nobody answers")
    );
    let items = daemon.ctl(["deploy-check", "items"]).exits(0).stdout;
    assert!(items.contains("cors-closed") && items.contains("pre,post"), "{items}");

    // A target that hangs is cut off at its deadline, and meanwhile nobody else may start a run.
    gateway.silent.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let hangs = scope.spawn(|| daemon.ctl(["deploy-check", "--only", "cors-closed"]));
        let running = || daemon.ctl(["deploy-check", "list"]).stdout.contains("running");
        assert!(eventually(running), "it never began");
        let other = daemon.ctl(["deploy-check", "--only", "contacts-real"]).exits(7);
        assert!(other.stderr.contains("under way"), "{other}");
        let hung = hangs.join().expect("an answer").exits(3);
        assert!(hung.stdout.contains("no answer within 2s"), "{hung}");
    });
}

#[test]
fn an_environment_changes_items_by_id_and_a_wrong_item_is_shown_where_it_stands() {
    let gateway = Gateway::start();
    let overlay = "\n[environment.staging]\nchecklist = { item = [{ id = \"way-back-known\", severity = \"advised\" }] }\n";
    let manifest =
        MANIFEST.replace("environment = \"staging\"\n", "").replace("SERVER", &gateway.address.to_string())
            + overlay;
    let mut daemon = Daemon::prepared(&manifest).with("AGENTD_ENVIRONMENT", "staging");
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    let listed = daemon.ctl(["deploy-check", "items", "-o", "json"]).exits(0).json();
    let severity: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|item| item["required"] == true).collect();
    assert_eq!(severity, [true, true, true, false, false, true], "{listed:#}");
    daemon.ctl(["deploy-check"]).exits(0);

    let file = daemon.path("wrong.toml");
    for (from, to, told) in [
        ("kind = \"cors\"", "kind = \"cros\"", "did you mean `cors`?"),
        ("group = \"security\"", "group = \"securty\"", "did you mean `security`?"),
        ("options = { url = \"http://SERVER/\" }", "", "missing key `options`"),
        ("ids = [\"CF-006\"]", "ids = [\"CF-06\"]", "there is no built-in check `CF-06`"),
        ("id = \"alert-arrives\"", "id = \"Cors-Closed\"", "is taken by the item of line"),
        ("id = \"alert-arrives\"", "id = \"DB-1\"", "in the form of the checks"),
        ("id = \"alert-arrives\"", "id = \"soak-window\"", "every soak begins with"),
        ("phases = [\"post\"]", "phases = [\"shrt\"]", "`shrt` is no value"),
        ("phases = [\"post\"]", "phases = []", "at least 1"),
        ("kind = \"alerts\"", "kind = \"alerts\"\nowner = \"nobody\"", "nobody"),
        ("valid_for = \"2d\"", "valid_for = \"91d\"", "longer than `valid_max`"),
        ("timeout = \"2s\"", "timeout = \"6m\"", "longer than 5m"),
    ] {
        let wrong = MANIFEST.replacen(from, to, 1);
        assert_ne!(wrong, MANIFEST, "{from}");
        let wrong = wrong.replace("{agentctl}", "\"/bin/true\"").replace("SERVER", "127.0.0.1:1");
        fs::write(&file, wrong).expect("written");
        let answer = agentctl(["config", "check", file.to_str().expect("text")]);
        let all = format!("{}{}", answer.stdout, answer.stderr);
        assert!(answer.code == 2 && all.contains(told) && all.contains('^'), "{told}: {answer}");
    }
}
