//! Reports through the real binaries: each format to stdout and to a file, the exit code that is the report's own,
//! numbers that are computed again, and what changed between two runs.
use crate::support::{Answer, Daemon, agentctl, agentctl_bin, becomes, orders};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// One that looks at the fleet and one that exercises the store.
const ONLY: &str = "AO-001,DB-001";

/// The gate of the one agent fails while it is stopped.
fn broken() -> Daemon {
    let daemon = orders();
    daemon.ctl(["agent", "stop", "orders", "--yes"]).exits(0);
    becomes(&daemon, "orders", "stopped");
    daemon
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).expect("a directory").count()
}

#[test]
fn a_negative_verdict_is_written_to_every_file_and_keeps_its_exit_code() {
    let daemon = broken();
    let out = daemon.path("out");
    fs::create_dir(&out).expect("a directory");
    let formats =
        ["table", "wide", "json", "yaml", "jsonl", "name", "junit", "sarif", "markdown", "github", "html"];
    let mut args = vec!["validate".to_owned(), "--only".into(), ONLY.into(), "-o".into(), "name".into()];
    for format in formats {
        args.push("--output-file".into());
        args.push(format!("{format}={}", out.join(format).display()));
    }
    daemon.ctl(&args).exits(1);
    assert_eq!(count(&out), formats.len(), "nothing lies beside them");
    for format in formats {
        let written = fs::read_to_string(out.join(format)).expect(format);
        assert!(written.contains("AO-001"), "{format}: {written}");
        let shown = daemon.ctl(["validate", "show", "-o", format]).exits(1).stdout;
        assert!(written == shown, "{format}: a file and stdout differ:\n{written}\n{shown}");
    }

    let verified = agentctl(["report", "verify", out.join("json").to_str().expect("text")]).exits(0);
    assert!(verified.stdout.starts_with("it holds: run 1 of staging"), "{verified}");
}

#[test]
fn a_path_that_cannot_be_written_is_told_before_anything_runs() {
    let daemon = orders();
    let target = format!("junit={}", daemon.path("missing/report.xml").display());
    let refused = daemon.ctl(["validate", "--only", ONLY, "--output-file", &target]).exits(2);
    assert!(refused.stderr.contains("cannot write the report to") && refused.stdout.is_empty(), "{refused}");
    let unknown = daemon.ctl(["validate", "--output-file", "xml=report.xml"]).exits(2);
    assert!(unknown.stderr.contains("`xml` is no format"), "{unknown}");
    assert_eq!(daemon.ctl(["validate", "list", "-o", "json"]).exits(0).json()["runs"], Value::Array(vec![]));
}

#[test]
fn a_command_that_shows_no_report_refuses_its_formats_and_does_nothing() {
    let daemon = orders();
    for format in ["junit", "sarif", "markdown", "github", "html"] {
        let refused = daemon.ctl(["agent", "stop", "orders", "--yes", "-o", format]).exits(2);
        assert!(refused.stderr.contains(&format!("cannot show this as {format}")), "{refused}");
        daemon.ctl(["validate", "list", "-o", format]).exits(2);
        daemon.ctl(["validate", "diff", "last", "last", "-o", format]).exits(2);
    }
    becomes(&daemon, "orders", "ready");
}

#[test]
fn the_step_summary_is_added_to_and_a_reader_that_leaves_changes_no_exit_code() {
    let daemon = broken();
    let summary = daemon.path("summary.md");
    fs::write(&summary, "an earlier step\n").expect("written");
    let validate = || {
        let mut command = Command::new(agentctl_bin());
        command.arg("--socket").arg(daemon.socket()).args(["validate", "--only", ONLY, "-o", "github"]);
        command.env("GITHUB_STEP_SUMMARY", &summary).stdin(Stdio::null());
        command
    };
    let said: Answer = validate().output().expect("agentctl runs").into();
    let said = said.exits(1).stdout;
    assert!(said.lines().all(|line| line.starts_with("::")), "{said}");
    assert!(said.contains("::error title=gate AO-001 fail"), "{said}");
    let text = fs::read_to_string(&summary).expect("a summary");
    assert!(text.starts_with("an earlier step\n# ") && text.contains("AO-001"), "{text}");

    let mut child = validate().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("agentctl runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ended").code(), Some(1), "nobody read it, and it is still NOT READY");
}

#[test]
fn a_number_that_was_changed_is_found_and_what_is_no_report_is_refused() {
    let daemon = broken();
    let report = daemon.ctl(["validate", "--only", ONLY, "-o", "json"]).exits(1).json();
    let verify = |text: &str| -> Answer {
        let mut child = Command::new(agentctl_bin())
            .args(["report", "verify", "-", "-o", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("agentctl runs");
        child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("written");
        child.wait_with_output().expect("it ended").into()
    };
    assert_eq!(verify(&report.to_string()).exits(0).json()["holds"], true);
    let mut better = report.clone();
    better["verdict"] = "ready".into();
    better["score"] = serde_json::json!({ "low": 99.0, "high": 99.0 });
    let found = verify(&better.to_string()).exits(1).json();
    let what: Vec<&str> = found["disagreements"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|d| d["what"].as_str())
        .collect();
    assert_eq!(what, ["score", "verdict"]);
    let mut newer = report;
    newer["schema_version"] = 2.into();
    assert!(verify(&newer.to_string()).exits(2).stderr.contains("of version 2"));
    verify("").exits(2);
    verify("{").exits(2);
    assert!(verify("a,NaN,1\n").exits(2).stderr.contains("line 1: NaN"));

    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/report/document-000.csv");
    let claim = agentctl(["report", "verify", table.to_str().expect("text")]).exits(1).stdout;
    for part in ["the claim of 89.8 does not hold", "equal mean     78.25", "weighted mean  83.05"] {
        assert!(claim.contains(part), "{part}: {claim}");
    }
}

#[test]
fn what_changed_between_two_runs_is_named_from_numbers_and_files_alike() {
    let daemon = orders();
    let first = daemon.ctl(["validate", "--only", ONLY, "-o", "json"]).exits(0);
    fs::write(daemon.path("first.json"), &first.stdout).expect("written");
    daemon.ctl(["agent", "stop", "orders", "--yes"]).exits(0);
    becomes(&daemon, "orders", "stopped");
    daemon.ctl(["validate", "--only", "AO-001"]).exits(1);

    let file = daemon.path("first.json");
    for before in ["1", file.to_str().expect("text")] {
        let difference = daemon.ctl(["validate", "diff", before, "last", "-o", "json"]).exits(0).json();
        assert_eq!(difference["comparison"]["regressed"], serde_json::json!(["AO-001"]), "{difference}");
        assert_eq!(difference["comparison"]["gone"], serde_json::json!(["DB-001"]), "{difference}");
    }
    let text = daemon.ctl(["validate", "diff", "1", "2"]).exits(0).stdout;
    for part in ["REGRESSED  AO-001", "pass → fail", "GONE       DB-001", "0 checks ended as they had"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    daemon.ctl(["validate", "diff", "1", "99"]).exits(7);
    daemon.ctl(["validate", "diff", "1", "missing.json"]).exits(2);
    let same =
        agentctl(["validate", "diff", file.to_str().expect("text"), file.to_str().expect("text")]).exits(0);
    assert!(same.stdout.contains("2 checks ended as they had"), "files need no daemon: {same}");
}
