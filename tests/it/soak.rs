//! Soaks through the real binaries: over what was recorded before, with a leak in it, with a gap in it; waited for while
//! the daemon is killed; and what a deployment and a blessing ask of the checklist.
use crate::support::{Answer, Daemon, becomes, eventually};
use agentctl::{
    config::StoreSettings,
    domain::{Distribution, Labels, Measure, MetricKind, MetricSeries, MetricUnit},
    resilience::Clock,
    store::{Encoded, Store},
};
use jiff::{SignedDuration, Timestamp};
use std::{thread, time::Duration};

const ORDERS: &str = r#"
schema = 1
environment = "staging"
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "process"
options = { command = [{agentctl}, "demo-agent", "stdio", "--name", "orders"] }
"#;

const RECORDED: &str = r#"
[[checklist.item]]
id = "leaks"
title = "nothing grows and grows"
kind = "leak"
group = "agent-operations"
phases = ["short"]
options = { settle = "0s", memory = "64MiB" }

[[checklist.item]]
id = "restarts"
title = "nothing was restarted"
kind = "restarts"
group = "agent-operations"
phases = ["short"]

[[checklist.item]]
id = "steady"
title = "all was ready"
kind = "steadiness"
group = "health-monitoring"
phases = ["short"]
options = { at_least = 0.99 }

[[checklist.item]]
id = "queries"
title = "queries were fast enough"
kind = "level"
group = "performance"
phases = ["short"]
options = { metric = "store_query_ms", at_most = 100 }

[[checklist.item]]
id = "failures"
title = "few requests failed"
kind = "level"
group = "error-handling"
phases = ["short"]
options = { metric = "requests", labels = { outcome = "internal|timeout" }, share = true, at_most = 0.01 }

[[checklist.item]]
id = "impact"
title = "nothing is slower than before"
kind = "impact"
group = "performance"
phases = ["short"]
options = { metric = "store_query_ms", floor = 5 }
"#;

/// What was recorded at a second before now, as a daemon would have: at this share of the looks.
struct Past {
    /// Descriptors that an instance opens in an hour and never closes.
    files_an_hour: f64,
    /// What queries take since an hour ago, and took before, in milliseconds.
    queries_ms: (u64, u64),
    /// Of a thousand requests, so many fail.
    failing: f64,
    /// No look was made from so many minutes ago to so many.
    gap: std::ops::Range<i64>,
}

const SOUND: Past = Past { files_an_hour: 0.0, queries_ms: (5, 5), failing: 1.0, gap: 0..0 };

/// A fleet that was watched for two hours and a quarter, with an hour of it in the window that is asked about.
fn watched(past: &Past) -> Daemon {
    let mut daemon = Daemon::start(&format!("{ORDERS}{RECORDED}"));
    becomes(&daemon, "orders", "ready");
    assert_eq!(daemon.stop(), Some(0));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(plant(&daemon, past));
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    daemon
}

async fn plant(daemon: &Daemon, past: &Past) {
    let (file, backups) = (daemon.path("state/agentd.db"), daemon.path("state/backups"));
    let store = Store::open(&file, &backups, &StoreSettings::default(), Clock::system()).expect("opens");
    let instance = || Labels::of([("agent", "orders"), ("instance", "orders/0")]);
    let outcome = |outcome| Labels::of([("outcome", outcome)]);
    let (gauge, counter) = (MetricKind::Gauge, MetricKind::Counter);
    let series = [
        ("daemon_memory_bytes", Labels::default(), gauge, MetricUnit::Bytes),
        ("agent_memory_bytes", instance(), gauge, MetricUnit::Bytes),
        ("agent_open_files", instance(), gauge, MetricUnit::Count),
        ("agent_processes", instance(), gauge, MetricUnit::Count),
        ("daemon_open_files", Labels::default(), gauge, MetricUnit::Count),
        ("daemon_threads", Labels::default(), gauge, MetricUnit::Count),
        ("agent_ready", instance(), gauge, MetricUnit::Flag),
        ("agent_restarts", instance(), counter, MetricUnit::Count),
        ("requests", outcome("done"), counter, MetricUnit::Count),
        ("requests", outcome("internal"), counter, MetricUnit::Count),
        ("store_query_ms", Labels::default(), MetricKind::Histogram, MetricUnit::Milliseconds),
    ];
    let named = series.into_iter().map(|(name, labels, kind, unit)| MetricSeries {
        name: name.into(),
        labels,
        kind,
        unit,
    });
    let numbers = store.open_series(named.collect(), 3_000, Timestamp::UNIX_EPOCH).await.expect("opened");
    let numbers: Vec<u32> = numbers.into_iter().map(|number| number.expect("there is room")).collect();
    let now = Timestamp::now().as_second();
    for second in ((now - 8100)..now - 10).step_by(10) {
        let ago = now - second;
        if past.gap.contains(&(ago / 60)) {
            continue;
        }
        let wobble = f64::from(u8::try_from(second / 10 % 7).expect("small"));
        let open = 10.0 + past.files_an_hour * (8100 - ago) as f64 / 3600.0;
        let counted = |by: f64| Measure::Counter { by, seconds: 10.0 };
        let (since, before) = past.queries_ms;
        let takes = if ago < 3700 { since } else { before };
        let measures = [
            Measure::Gauge(6e7 + wobble * 4096.0),
            Measure::Gauge(8e6 + wobble * 4096.0),
            Measure::Gauge(open.floor()),
            Measure::Gauge(1.0),
            Measure::Gauge(30.0),
            Measure::Gauge(6.0),
            Measure::Gauge(1.0),
            counted(0.0),
            counted(100.0),
            counted(past.failing / 10.0),
            Measure::Histogram(Distribution::new([(takes * 1000, 20)])),
        ];
        let encoded = Encoded::of(numbers.iter().copied().zip(measures).collect());
        store.keep_tick(Timestamp::from_second(second).expect("a time"), encoded).await.expect("kept");
    }
    store.close().await;
}

fn short(daemon: &Daemon) -> Answer {
    let since = (Timestamp::now() - SignedDuration::from_mins(61)).to_string();
    daemon.ctl(["deploy-check", "--phase", "short", "--since", &since])
}

fn outcomes(answer: &Answer, ids: &[&str], word: &str) {
    for id in ids {
        // Among the reasons above it is called an item.
        let is_it = |line: &&str| line.split_whitespace().take(2).eq([word, id]);
        let line = answer.stdout.lines().find(is_it);
        assert!(line.is_some(), "{id} {word}: {answer}");
    }
}

#[test]
fn what_another_daemon_recorded_is_a_soak_and_a_planted_leak_is_found_in_it() {
    let sound = watched(&SOUND);
    let go = short(&sound).exits(0);
    assert!(go.stdout.starts_with("GO  phase short in staging"), "{go}");
    let all = ["soak-window", "leaks", "restarts", "steady", "queries", "failures", "impact"];
    outcomes(&go, &all, "pass");
    assert!(go.stdout.contains("window   1h"), "{go}");
    let json = sound.ctl(["deploy-check", "show", "--phase", "short", "-o", "json"]).exits(0).json();
    let soak = &json["checklist"]["soak"];
    assert!(
        soak["observed"].as_f64().is_some_and(|share| share >= 0.95) && soak["least"] == "1h",
        "{json:#}"
    );
    let file = sound.path("report.json");
    std::fs::write(&file, json.to_string()).expect("written");
    crate::support::agentctl(["report", "verify", file.to_str().expect("text")]).exits(0);
    // A part of it never says go, and neither does a window that is too short.
    let part =
        sound.ctl(["deploy-check", "--phase", "short", "--since", "62m", "--skip", "soak-window"]).exits(0);
    assert!(part.stdout.starts_with("PARTIAL"), "{part}");
    let early = sound.ctl(["deploy-check", "--phase", "short", "--since", "37m"]).exits(3);
    outcomes(&early, &["soak-window"], "SKIPPED");
    assert!(early.stdout.contains("of 1h") && early.stdout.contains("can be asked again at"), "{early}");
    let listed = sound.ctl(["deploy-check", "history", "--phase", "short"]).exits(0).stdout;
    assert!(listed.contains("GO") && listed.contains("INCONCLUSIVE"), "{listed}");
    sound.ctl(["deploy-check", "show", "--phase", "post"]).exits(7);

    let leaks = watched(&Past { files_an_hour: 100.0, ..SOUND });
    let no_go = short(&leaks).exits(1);
    outcomes(&no_go, &["leaks"], "FAIL");
    outcomes(&no_go, &["soak-window", "restarts", "steady", "queries", "failures", "impact"], "pass");
    assert!(no_go.stdout.contains("orders/0 agent_open_files grows by"), "{no_go}");
}

#[test]
fn what_got_slower_or_fails_is_a_no_go_and_what_was_not_watched_is_neither() {
    let slower = watched(&Past { queries_ms: (60, 5), failing: 30.0, ..SOUND });
    let no_go = short(&slower).exits(1);
    outcomes(&no_go, &["failures", "impact"], "FAIL");
    outcomes(&no_go, &["soak-window", "leaks", "queries"], "pass");
    assert!(no_go.stdout.contains("was 5") && no_go.stdout.contains("ms before (n "), "both sides: {no_go}");

    let gap = watched(&Past { gap: 20..30, ..SOUND });
    let neither = short(&gap).exits(3);
    outcomes(&neither, &["soak-window"], "SKIPPED");
    assert!(neither.stdout.contains("% observed; can be asked again at"), "{neither}");
}

const TRIAL: &str = r#"
[checklist.soak]
short_least = "50s"
short_most = "30m"
min_observed = 0.5

[[checklist.item]]
id = "ready"
title = "every agent is ready"
kind = "agents"
group = "agent-operations"
phases = ["pre", "short"]

[[checklist.item]]
id = "steady"
title = "all was ready nearly all the time"
kind = "steadiness"
group = "health-monitoring"
phases = ["short"]
options = { at_least = 0.2, samples = 2 }
"#;

#[test]
fn a_release_is_deployed_on_a_go_waited_for_over_a_kill_and_then_blessed() {
    let mut daemon = Daemon::start(&format!("{ORDERS}{TRIAL}"));
    becomes(&daemon, "orders", "ready");
    for (asked, code, told) in [
        (&["--phase", "extended"][..], 7, "no release is on trial"),
        (&["--phase", "short", "--release", "r-9"], 7, "no such release"),
        (&["--phase", "extended", "--since", "2h"], 2, "no item"),
        (&["--phase", "short", "--since", "2999-01-01T00:00Z"], 2, "yet to come"),
        (&["--since", "2h"], 2, "for the phases short and extended"),
        (&["--wait"], 2, "for the phases short and extended"),
    ] {
        let answer = daemon.ctl(["deploy-check"].iter().chain(asked)).exits(code);
        assert!(answer.stderr.contains(told), "{told}: {answer}");
    }
    daemon.ctl(["release", "create"]).exits(0);
    let refused = || daemon.ctl(["deploy", "r-1", "--dry-run"]).exits(6).stdout;
    assert!(refused().contains("against: no deploy-check has ever been made"), "{}", refused());
    daemon.ctl(["deploy-check", "--release", "r-7"]).exits(0);
    assert!(refused().contains("no deploy-check has ever been made"), "one for another release counted");
    daemon.ctl(["deploy-check"]).exits(0);
    // Nothing was validated, and that is all that is left.
    assert!(refused().contains("against: nothing was ever validated") && !refused().contains("deploy-check"));
    daemon.ctl(["agent", "stop", "orders", "--yes"]).exits(0);
    daemon.ctl(["deploy-check"]).exits(1);
    assert!(refused().contains("the last deploy-check said NO-GO"), "{}", refused());
    daemon.ctl(["agent", "start", "orders"]).exits(0);
    becomes(&daemon, "orders", "ready");
    daemon.ctl(["deploy-check"]).exits(0);
    daemon.rewrite(&format!("{ORDERS}{}", TRIAL.replace("every agent is ready", "each agent is ready")));
    daemon.ctl(["config", "reload"]).exits(0);
    assert!(refused().contains("of another configuration"), "{}", refused());

    daemon.ctl(["deploy", "r-1", "--unproved", "--yes", "--reason", "a test"]).exits(0);
    let early = daemon.ctl(["deploy-check", "--phase", "short"]).exits(3);
    assert!(
        early.stdout.contains("phase short of release r-1") && early.stdout.contains("of 50s"),
        "{early}"
    );
    let bless = |more: &[&str]| daemon.ctl(["release", "bless", "r-1"].iter().chain(more));
    let unproved = bless(&[]).exits(6);
    assert!(unproved.stderr.contains("no soak has said go for it"), "{unproved}");
    let before =
        daemon.ctl(["deploy-check", "--phase", "short", "--release", "r-1", "--since", "3h"]).exits(6);
    assert!(before.stderr.contains("at the earliest"), "{before}");
    let late = daemon.ctl(["deploy-check", "--phase", "short", "--wait", "--timeout", "1s"]).exits(8);
    assert!(late.stderr.contains("cannot wait any longer"), "{late}");

    let socket = daemon.socket();
    let waits = thread::spawn(move || {
        let socket = socket.to_str().expect("text").to_owned();
        crate::support::agentctl([
            "--socket",
            &socket,
            "deploy-check",
            "--phase",
            "short",
            "--wait",
            "--timeout",
            "4m",
        ])
    });
    // It is under way, and the daemon dies under it; nobody answers when it is asked for the next time.
    thread::sleep(Duration::from_secs(12));
    daemon.kill();
    thread::sleep(Duration::from_secs(22));
    daemon.launch();
    let go = waits.join().expect("an answer").exits(0);
    assert!(go.stdout.starts_with("GO  phase short of release r-1"), "{go}");
    assert!(go.stderr.contains("agentd does not answer"), "{go}");
    daemon.ctl(["release", "bless", "r-1"]).exits(0);
    assert!(eventually(|| daemon.ctl(["release", "list"]).stdout.contains("stable")));
    let audit = daemon.ctl(["audit", "list", "--action", "releases/bless"]).exits(0).stdout;
    assert!(audit.contains("refused") || audit.contains("release/r-1"), "{audit}");
}
