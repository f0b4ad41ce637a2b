//! `agentctl validate` against fleets with one control quietly broken: it must say which, with proof, and exit 1.
use crate::support::{Answer, Daemon, agentctl, becomes, eventually, redact};
use serde_json::Value;
use std::{collections::BTreeSet, fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

/// The checks that look at the real fleet, its files and its manifest. Those on scratch ground are proved elsewhere.
const LOOKS: &str = "AO-001,AO-002,HM-005,CF-001,CF-005,CF-007,SE-001,SE-003";

const HEAD: &str = r#"
schema = 1
environment = "dev"
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }
"#;

const SOUND: &str = r#"
[[agent]]
name = "orders"
kind = "process"
tier = "core"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }
"#;

/// A second agent, over HTTP, with faults, a restart policy and a readiness probe of its own.
fn http_agent(faults: &str, path: &str) -> String {
    format!(
        r#"
[[agent]]
name = "billing"
kind = "service"
tier = "core"
owner = "shop"
start_timeout = "60s"
restart = {{ policy = "on-failure", backoff = "10ms..20ms", latch = "3 in 1m" }}
limits = {{ memory = "512MiB" }}
options = {{ command = [{{agentctl}}, "demo-agent", "http", "--name", "billing", "--port", "{{port}}"{faults}], port = 0 }}

  [[agent.probe]]
  name = "ready"
  kind = "http"
  every = "2s"
  deadline = "2s"
  options = {{ path = "{path}", expect = {{ status = 200, json = {{ "$.agent" = "billing"{status} }} }} }}
"#,
        status = if path == "/health" { r#", "$.status" = "healthy""# } else { "" }
    )
}

fn fleet(faults: &[&str], path: &str) -> String {
    let faults: String = faults.iter().map(|fault| format!(r#", "--fault", "{fault}""#)).collect();
    [HEAD, SOUND, &http_agent(&faults, path)].concat()
}

fn looks(daemon: &Daemon) -> Answer {
    daemon.ctl(["validate", "--only", LOOKS, "-o", "json"])
}

fn with_outcome(report: &Value, outcome: &str) -> BTreeSet<String> {
    let findings = report["findings"].as_array().expect("findings");
    let named = findings.iter().filter(|finding| finding["outcome"] == outcome);
    named.map(|finding| finding["id"].as_str().expect("an id").to_owned()).collect()
}

fn finding(report: &Value, id: &str) -> Value {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["id"] == id).cloned().expect(id)
}

/// What is broken, and what validate must find.
struct Sabotage {
    what: &'static str,
    manifest: String,
    act: fn(&Daemon),
    /// The only check that may fail.
    id: &'static str,
    /// In its summary or evidence.
    proof: &'static str,
}

fn untouched(_: &Daemon) {}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

fn edit(daemon: &Daemon, from: &str, to: &str) {
    let path = daemon.path("agentd.toml");
    let text = fs::read_to_string(&path).expect("the manifest");
    assert!(text.contains(from), "nothing to edit");
    fs::write(path, text.replace(from, to)).expect("edited");
}

/// In the form of a real key, put together here so that no scanner finds one in our source.
fn planted_key() -> String {
    format!("sk-{}-{}", "ant-api03", "Zq7".repeat(16))
}

#[track_caller]
fn proves(sabotage: &Sabotage) {
    let daemon = Daemon::start(&sabotage.manifest);
    becomes(&daemon, "orders", "ready");
    (sabotage.act)(&daemon);
    let mut last = None;
    // A probe has to look first; after that the answer stands.
    let proved = eventually(|| {
        let answer = looks(&daemon);
        let report = answer.json();
        let seen = finding(&report, sabotage.id);
        let failed = with_outcome(&report, "fail");
        let done = answer.code == 1
            && failed.len() == 1
            && failed.contains(sabotage.id)
            && seen["hint"].is_string()
            && seen.to_string().contains(sabotage.proof);
        last = Some(format!("failed: {failed:?}\n{seen:#}\n{}", answer.stderr));
        done
    });
    assert!(
        proved,
        "{}: {} with `{}` expected\n{}",
        sabotage.what,
        sabotage.id,
        sabotage.proof,
        last.expect("asked")
    );
}

#[test]
fn a_sound_fleet_has_none_of_the_faults_that_are_planted_below() {
    let daemon = Daemon::start(&fleet(&[], "/health"));
    let holds = || with_outcome(&looks(&daemon).json(), "fail").is_empty();
    assert!(eventually(holds), "{}", looks(&daemon));
    let report = looks(&daemon).exits(0).json();
    assert_eq!(report["verdict"], "partial", "{report:#}");
    assert_eq!(report["schema_version"], 1);
    assert_eq!(with_outcome(&report, "pass").len() + with_outcome(&report, "warn").len(), 8, "{report:#}");
}

#[test]
fn an_agent_that_is_not_what_it_says_is_found() {
    let row = |what, manifest, proof| Sabotage { what, manifest, act: untouched, id: "AO-001", proof };
    for sabotage in [
        row("200 with a critical body", fleet(&["lying-health"], "/health"), "critical"),
        row("somebody else answers", fleet(&["wrong-name"], "/health"), "somebody-else"),
        row("its data route fails", fleet(&["data-fails"], "/data"), "500"),
        row("it crashes at each start", fleet(&["crash-at-start=import"], "/health"), "import"),
        row("it crashes for no known reason", fleet(&["crash-at-start"], "/health"), "crash-looping"),
    ] {
        proves(&sabotage);
    }
}

#[test]
fn a_port_that_another_process_holds_is_found() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its number").port().to_string();
    let manifest = fleet(&[], "/health").replace("port = 0", &format!("port = {port}"));
    proves(&Sabotage {
        what: "its port is taken",
        manifest,
        act: untouched,
        id: "AO-001",
        proof: Box::leak(port.into_boxed_str()),
    });
}

#[test]
fn a_manifest_that_is_not_what_runs_is_found() {
    let row = |what, act, proof| Sabotage { what, manifest: fleet(&[], "/health"), act, id: "CF-001", proof };
    for sabotage in [
        row("edited", |daemon| edit(daemon, "512MiB", "513MiB"), "on disk"),
        row("misspelt", |daemon| edit(daemon, "start_timeout", "start_timeot"), "start_timeout"),
    ] {
        proves(&sabotage);
    }
}

#[test]
fn a_secret_written_into_the_manifest_is_refused_and_not_repeated() {
    let with_key = |text: &str| {
        let environment = format!("environment = {{ API_KEY = \"{}\" }}, command", planted_key());
        text.replacen("command", &environment, 1)
    };
    let sound = fleet(&[], "/health");
    let daemon = Daemon::start(&sound);
    daemon.rewrite(&with_key(&sound));
    let checked = agentctl(["config", "check", daemon.path("agentd.toml").to_str().expect("text")]);
    let checked = checked.exits(2);
    assert!(checked.stderr.contains("API_KEY") && !checked.to_string().contains(&planted_key()), "{checked}");

    let answer = daemon.ctl(["validate", "--only", "CF-001", "-o", "json"]).exits(1);
    assert!(answer.stdout.contains("API_KEY") && !answer.to_string().contains(&planted_key()), "{answer}");
    let reload = daemon.ctl(["config", "reload"]);
    assert!(reload.code == 2 && !reload.to_string().contains(&planted_key()), "{reload}");
}

#[test]
fn files_that_are_open_to_others_are_found() {
    let row =
        |what, act, proof| Sabotage { what, manifest: [HEAD, SOUND].concat(), act, id: "SE-001", proof };
    for sabotage in [
        row("database", |daemon| set_mode(&daemon.path("state/agentd.db"), 0o666), "0666"),
        row("state directory", |daemon| set_mode(&daemon.path("state"), 0o777), "0777"),
        row("manifest", |daemon| set_mode(&daemon.path("agentd.toml"), 0o646), "0646"),
        row("socket", |daemon| set_mode(&daemon.socket(), 0o666), "0666"),
    ] {
        proves(&sabotage);
    }
}

#[test]
fn a_secret_that_can_no_longer_be_had_is_found() {
    let mut daemon = Daemon::prepared("schema = 1\n");
    let secret = daemon.path("secret");
    fs::write(&secret, "the value itself").expect("a secret");
    set_mode(&secret, 0o600);
    let environment = format!("environment = {{ API_KEY = \"file:{}\" }}, command", secret.display());
    daemon.rewrite(&[HEAD, SOUND].concat().replacen("command", &environment, 1));
    daemon.launch();
    let ask = || daemon.ctl(["validate", "--only", "CF-005", "-o", "json"]);
    let answer = ask().exits(0);
    assert!(!answer.to_string().contains("the value itself"), "{answer}");
    fs::remove_file(&secret).expect("removed");
    let answer = ask().exits(1);
    assert_eq!(finding(&answer.json(), "CF-005")["outcome"], "fail");
    assert!(answer.stdout.contains(&secret.display().to_string()), "{answer}");
}

#[test]
fn what_is_only_careless_is_a_warning_that_names_the_agent() {
    let careless =
        fleet(&[], "/health").replacen("owner = \"shop\"\n", "", 1).replacen("limits", "# limits", 1);
    let daemon = Daemon::start(&careless);
    let report = daemon.ctl(["validate", "--only", "CF-007", "-o", "json"]).json();
    let seen = finding(&report, "CF-007");
    assert_eq!(seen["outcome"], "warn");
    assert!(seen["evidence"].to_string().contains("orders has no owner, no memory limit"), "{seen:#}");
    assert!(!seen["evidence"].to_string().contains("billing"), "{seen:#}");
}

#[test]
fn agents_under_the_daemons_uid_are_a_warning_in_development_and_a_gate_elsewhere() {
    for (environment, outcome, code) in [("dev", "warn", None), ("production", "fail", Some(1))] {
        let manifest = [HEAD, SOUND].concat().replace("\"dev\"", &format!("{environment:?}"));
        let manifest = manifest.replace("tier =", "user = \"inherit\"\ntier =");
        let daemon = Daemon::start(&manifest);
        becomes(&daemon, "orders", "ready");
        let answer = daemon.ctl(["validate", "--only", "SE-003", "-o", "json"]);
        let seen = finding(&answer.json(), "SE-003");
        assert_eq!(seen["outcome"], outcome, "{answer}");
        assert!(seen["evidence"].to_string().contains("orders/0: uid "), "{answer}");
        assert!(code.is_none_or(|code| answer.code == code), "{answer}");
    }
}

#[test]
fn reports_are_kept_listed_and_can_be_computed_again() {
    let daemon = Daemon::start(&[HEAD, SOUND].concat());
    assert_eq!(daemon.ctl(["validate", "show"]).code, 7, "none has run");
    assert_eq!(daemon.ctl(["validate", "--only", "CF-01"]).code, 2);
    let first = daemon.ctl(["validate", "--only", "CF-006", "-o", "json"]);
    let text = daemon.ctl(["validate", "show", "1", "-o", "json"]).exits(first.code).stdout;
    assert_eq!(text, first.stdout, "what is kept is what was said");
    let report: agentctl::domain::Report = serde_json::from_str(&text).expect("a report");
    assert!(agentctl::readiness::agrees(&report), "{text}");
    let mut forged = report;
    forged.score.low = 99.0;
    assert!(!agentctl::readiness::agrees(&forged), "a score that its findings do not amount to");
    let list = daemon.ctl(["validate", "list"]).exits(0);
    assert!(list.stdout.contains("(partial)") && list.stdout.contains("dev"), "{list}");
    assert_eq!(daemon.ctl(["validate", "show", "99"]).code, 7);
}

/// The first lines say what is wrong, and no line runs past what a terminal shows.
#[test]
fn the_report_reads_well_on_a_narrow_and_a_wide_terminal() {
    let daemon = Daemon::start(&[HEAD, SOUND].concat().replace("limits", "# limits"));
    edit(&daemon, "tier = \"core\"", "tier = \"main\"");
    let answer = daemon.ctl(["validate", "--only", "CF-001,CF-006,CF-007"]).exits(1);
    let text = redact(&answer.stdout, daemon.home());
    assert!(text.starts_with("NOT READY (partial run"), "{text}");
    let (fail, warn) = (text.find("CF-001  what runs"), text.find("CF-007  agents"));
    assert!(fail.is_some() && fail < warn, "worst first:\n{text}");
    assert!(text.contains("    · orders has no memory limit") && !text.contains("CF-006"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let listed = agentctl(["check", "list"]).exits(0).stdout;
    assert!(listed.lines().all(|line| line.chars().count() <= 110), "{listed}");
}
