//! What the README tells people to put into a crontab and into CI, run as it is written there.
use crate::support::{Answer, Daemon, agentctl_bin, becomes};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

const MANIFEST: &str = r#"
schema = 1
contacts.shop = { name = "Shop on-call", email = "oncall@shop.example" }

[[agent]]
name = "orders"
kind = "process"
tier = "core"
owner = "shop"
limits = { memory = "512MiB" }
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }

[environment.staging]
readiness = { bar = 80.0 }
"#;

/// The fenced block that follows `<!-- NAME -->` in the README.
fn block(name: &str) -> String {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let marker = format!("<!-- {name} -->");
    let mut lines = readme.lines().skip_while(|line| line.trim() != marker).skip(1);
    let fence = lines.find(|line| !line.trim().is_empty()).unwrap_or_default();
    assert!(fence.starts_with("```"), "README.md has no fenced block after a line {marker}");
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// What cron and CI give a command: not much, and PATH with our programs in it.
fn shell(words: &[&str], at: &Path) -> Command {
    let bin = agentctl_bin().parent().expect("a directory").display();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().env("PATH", format!("{bin}:/usr/bin:/bin"));
    command.env("HOME", at).current_dir(at).stdin(Stdio::null());
    command
}

/// The line as cron reads it: settings before it, five fields, and the rest to /bin/sh.
fn run_by_cron(daemon: &Daemon) -> Answer {
    let text = block("cron");
    let (settings, entries): (Vec<&str>, Vec<&str>) = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .partition(|line| line.split_once('=').is_some_and(|(name, _)| !name.contains(char::is_whitespace)));
    let [entry] = entries[..] else { panic!("one entry, not {entries:?}") };
    assert!(!entry.contains('%'), "cron makes a line end of %: {entry}");
    let mut rest = entry;
    for _ in 0..5 {
        let (field, more) = rest.split_once(char::is_whitespace).expect("five fields and a command");
        let known = |c: char| c.is_ascii_digit() || "*/,-".contains(c);
        assert!(!field.is_empty() && field.chars().all(known), "{field} is no time");
        rest = more.trim_start();
    }
    let mut command = shell(&["/bin/sh", "-c", rest], daemon.home());
    for (name, value) in settings.iter().filter_map(|line| line.split_once('=')) {
        let value = value.trim_matches('"');
        // Our programs stand in for those that are installed.
        let ours = || format!("{}:{value}", agentctl_bin().parent().expect("a directory").display());
        command.env(name, if name == "PATH" { ours() } else { value.into() });
    }
    // Where the daemon of this test listens; the README speaks of the one of the machine.
    command.env("AGENTD_SOCKET", daemon.socket());
    command.output().expect("a shell").into()
}

#[test]
fn the_crontab_line_is_silent_when_all_is_well_and_says_what_is_wrong_when_not() {
    let daemon = Daemon::start(MANIFEST);
    becomes(&daemon, "orders", "ready");
    let answer = run_by_cron(&daemon);
    assert!(matches!(answer.code, 0 | 3), "{answer}");
    assert_eq!(answer.code == 0, answer.stdout.is_empty(), "{answer}");
    assert!(answer.stderr.is_empty(), "{answer}");
    daemon.rewrite(&MANIFEST.replace("512MiB", "513MiB"));
    let answer = run_by_cron(&daemon).exits(1);
    assert!(answer.stdout.starts_with("NOT READY") && answer.stdout.contains("CF-001"), "{answer}");
    assert!(answer.stderr.is_empty(), "{answer}");
    let runs = daemon.ctl(["validate", "list", "-o", "json"]).exits(0).json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(2), "it ran elsewhere: {runs:#}");
}

/// Runs the `run:` steps of the job one after the other, as a runner does; ends with the first that fails.
fn run_by_ci(checkout: &Path, scratch: &Path) -> Answer {
    let workflow: Value = serde_norway::from_str(&block("ci")).expect("a workflow");
    let jobs = workflow["jobs"].as_object().expect("jobs");
    let steps: Vec<&Value> = jobs.values().flat_map(|job| job["steps"].as_array().expect("steps")).collect();
    let mut last = None;
    for step in steps {
        let Some(script) = step["run"].as_str() else {
            assert!(step["uses"].is_string(), "a step that does nothing: {step}");
            continue;
        };
        // The machine of this test has it; installing is tested in install.rs.
        if script.contains("install.sh") {
            continue;
        }
        let mut command =
            shell(&["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], checkout);
        command
            .env("CI", "true")
            .env("TMPDIR", scratch)
            .env("GITHUB_STEP_SUMMARY", checkout.join("summary.md"));
        let answer: Answer = command.output().expect("a shell").into();
        let failed = answer.code != 0;
        last = Some(answer);
        if failed {
            break;
        }
    }
    last.expect("a step that runs something")
}

#[test]
fn the_ci_job_fails_a_fleet_that_is_broken_and_leaves_nothing_but_its_report() {
    let checkout = Daemon::prepared(MANIFEST);
    let scratch = tempfile::tempdir().expect("a directory");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).expect("permissions");
    let job = || {
        let answer = run_by_ci(checkout.home(), scratch.path());
        let left = fs::read_dir(scratch.path()).expect("a directory").count();
        assert!(left == 0 && checkout.strays().is_empty(), "it left {left} files or a process: {answer}");
        let kept = fs::read_to_string(checkout.path("readiness.json"));
        let report: Value = serde_json::from_str(&kept.unwrap_or_default())
            .unwrap_or_else(|error| panic!("no report in readiness.json ({error}): {answer}"));
        (answer, report)
    };
    let (answer, report) = job();
    let expected = match report["verdict"].as_str().expect("a verdict") {
        "ready" => 0,
        "inconclusive" => 3,
        verdict => panic!("{verdict}: {report:#}"),
    };
    assert_eq!(answer.code, expected, "{answer}");
    assert_eq!((&report["environment"], &report["bar"]), (&"staging".into(), &80.0.into()));
    checkout.rewrite(&MANIFEST.replace("\"stdio\",", "\"stdio\", \"--fault\", \"crash-at-start=import\","));
    let (answer, report) = job();
    assert_eq!((answer.code, &report["verdict"]), (1, &"not-ready".into()), "{answer}");
    let reasons = report["reasons"].to_string();
    assert!(reasons.contains("AO-001"), "{reasons}");
}
