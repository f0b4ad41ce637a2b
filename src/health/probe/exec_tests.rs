//! What a command is run with, what counts of it, and that nothing of it is left.
use super::*;
use crate::{
    domain::Period,
    health::{
        look::{
            look,
            tests::{ask, settings},
        },
        probe::compile,
    },
    resilience::Clock,
};
use serde_json::json;
use std::time::Instant;

fn sh(script: &str) -> serde_json::Value {
    json!({"command": ["sh", "-c", script]})
}

#[tokio::test]
async fn the_exit_status_decides_and_the_last_line_is_told() {
    let target = Target::local("a/0", Some(4321));
    assert!(ask("exec", sh("exit 0"), &target).await.ok);
    let seen = ask("exec", sh("echo first; echo it broke >&2; exit 3"), &target).await;
    assert!(!seen.ok && seen.detail.contains("exit status: 3, want 0: it broke"), "{}", seen.detail);
    let wanted = json!({"command": ["sh", "-c", "exit 3"], "expect_exit": 3});
    assert!(ask("exec", wanted, &target).await.ok);
    assert!(!ask("exec", sh("kill -9 $$"), &target).await.ok);
    let seen = ask("exec", json!({"command": ["/no/such/program"]}), &target).await;
    assert!(!seen.ok && seen.detail.contains("no such file"), "{}", seen.detail);
    let filled = json!({"command": ["test", "{port}{target}", "=", "4321a/0"]});
    assert!(ask("exec", filled, &target).await.ok);
}

#[tokio::test]
async fn what_it_prints_must_be_as_wanted_and_complaints_are_no_output() {
    let target = Target::local("a/0", None);
    let with = |script: &str, key: &str, want: Value| json!({"command": ["sh", "-c", script], key: want});
    for (script, key, want, told) in [
        ("echo ok >&2", "stdout", json!("ok"), "standard output lacks"),
        ("echo not", "stdout", json!("/^ok$/"), "standard output lacks"),
        ("echo '{\"n\": 1}'", "json", json!({"$.n": "> 1"}), "$.n is 1, want > 1"),
        ("echo '<html>'", "json", json!({"$.n": 1}), "is not JSON"),
        ("head -c 100000 /dev/zero", "json", json!({"$.n": 1}), "too long"),
        ("head -c 100000 /dev/zero; echo late", "stdout", json!("late"), "in what was read of it"),
    ] {
        let seen = ask("exec", with(script, key, want), &target).await;
        assert!(!seen.ok && seen.detail.contains(told), "{script}: {}", seen.detail);
    }
    assert!(ask("exec", with("echo '{\"n\": 2}'", "json", json!({"$.n": 2})), &target).await.ok);
    assert!(ask("exec", with("echo all ok", "stdout", json!("ok")), &target).await.ok);
    let wrong = compile("exec", &with("true", "stdout", json!("/(/"))).err().expect("a problem");
    assert_eq!(wrong[0].pointer, "/stdout");
}

#[tokio::test]
async fn nothing_of_our_environment_reaches_it() {
    // Cargo sets this for every test.
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
    let target = Target::local("a/0", None);
    let seen = ask("exec", sh("test -z \"$CARGO_MANIFEST_DIR\" && test -n \"$PATH\""), &target).await;
    assert!(seen.ok, "{}", seen.detail);
}

#[tokio::test]
async fn output_without_end_neither_blocks_it_nor_fills_memory() {
    let target = Target::local("a/0", None);
    let seen = ask("exec", sh("head -c 5000000 /dev/zero; echo; echo done; exit 1"), &target).await;
    assert!(seen.detail.ends_with(": done"), "{}", seen.detail);
}

#[tokio::test]
async fn a_child_left_in_the_background_neither_delays_the_look_nor_survives_it() {
    let began = Instant::now();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pid");
    let script = format!("sleep 300 & echo $! > {}; exit 0", file.display());
    assert!(ask("exec", sh(&script), &Target::local("a/0", None)).await.ok);
    assert!(began.elapsed() < Duration::from_secs(8), "it waited for the background");
    assert_gone(&file).await;
}

#[tokio::test]
async fn at_the_deadline_the_group_dies_though_it_ignores_term_and_forks_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let (inner, outer) = (dir.path().join("inner"), dir.path().join("outer"));
    let script = format!(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > {}; sleep 300; sleep 300' & \
         sh -c 'echo $$ > {}; exec sleep 300' & while :; do sleep 1; done",
        inner.display(),
        outer.display()
    );
    let mut asked = settings("exec", sh(&script));
    asked.deadline = Period::millis(1500);
    let seen = look(&asked, &Target::local("a/0", None), &Clock::system()).await;
    assert!(!seen.ok && seen.detail.contains("no answer"), "{}", seen.detail);
    assert_gone(&inner).await;
    assert_gone(&outer).await;
}

/// The process whose number the file holds must end, or be a zombie that somebody else has to reap.
async fn assert_gone(file: &std::path::Path) {
    let pid = fs::read_to_string(file).expect("it was started").trim().to_owned();
    let alive = || {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| !rest.starts_with('Z')))
    };
    for _ in 0..500 {
        if !alive() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("process {pid} survived");
}
