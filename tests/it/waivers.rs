//! Waivers and the demands of a run, through the real binaries: added, in force, revoked, and never believed for more
//! than they are. A private daemon for CI, and a run that is called off.
use crate::support::{Answer, Daemon, ORDERS, PATIENCE, agentctl_bin, becomes, ends, eventually, orders};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::Read,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// One that can be made to fail by touching the manifest, and enough beside it that its points are not missed.
const ONLY: &str = "CF-001,CF-002,CF-003,CF-004,DB-001";

fn spoil(daemon: &Daemon) {
    daemon.rewrite(&ORDERS.replace("512MiB", "513MiB"));
}

fn validate(daemon: &Daemon, more: &[&str]) -> Answer {
    daemon.ctl([&["validate", "--only", ONLY, "-o", "json"], more].concat())
}

fn waive<'a>(check: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let asked = ["waiver", "add", check, "--owner", "shop", "--reason", "mended with the next release"];
    [&asked[..], more].concat()
}

#[test]
fn a_waiver_lifts_its_gate_survives_a_kill_and_gives_it_back_when_it_is_revoked() {
    let mut daemon = orders();
    spoil(&daemon);
    let before = validate(&daemon, &[]).exits(1).json();
    assert_eq!(before["verdict"], "not-ready");
    let added =
        daemon.ctl([&waive("cf-001", &["--expires", "14d"])[..], &["-o", "json"]].concat()).exits(0).json();
    assert_eq!((&added["check"], &added["schema_version"]), (&"CF-001".into(), &1.into()), "{added:#}");
    assert!(added["added_by"].as_str().is_some_and(|who| who.starts_with("uid ")), "{added:#}");

    let waived = validate(&daemon, &[]).exits(0).json();
    assert_eq!((&waived["verdict"], &waived["score"]), (&"partial".into(), &before["score"]));
    assert_eq!(waived["waivers"][0]["reason"], "mended with the next release");
    assert_eq!(waived["score_without_waived"]["low"], 100.0, "{waived:#}");
    let report: agentctl::domain::Report = serde_json::from_value(waived).expect("a report");
    assert!(agentctl::readiness::agrees(&report));
    // On the day that it has lapsed, its gate is back.
    let lapsed = validate(&daemon, &["--as-of", "2200-01-01"]).exits(1).json();
    assert_eq!(lapsed["waivers"].as_array().map(Vec::len), Some(1), "{lapsed:#}");
    assert!(validate(&daemon, &["--as-of", "2020-01-01"]).exits(2).stderr.contains("is past"));

    daemon.kill();
    daemon.launch();
    let listed = daemon.ctl(["waiver", "list"]).exits(0);
    assert!(listed.stdout.contains("CF-001") && listed.stdout.contains("in force"), "{listed}");
    assert_eq!(daemon.ctl(["waiver", "list", "-o", "name"]).exits(0).stdout, "1\n");
    daemon.ctl(["waiver", "revoke", "1"]).exits(0);
    daemon.ctl(["waiver", "revoke", "1"]).exits(7);
    daemon.ctl(["waiver", "revoke", "9"]).exits(7);
    assert_eq!(daemon.ctl(["waiver", "list"]).exits(0).stdout, "no waiver is in force\n");
    assert!(daemon.ctl(["waiver", "list", "--all"]).exits(0).stdout.contains("revoked"));
    // The restarted daemon runs what is on disk; spoil that again.
    daemon.rewrite(ORDERS);
    let after = validate(&daemon, &[]).exits(1).json();
    assert_eq!(after["verdict"], "not-ready");
}

#[test]
fn what_may_not_be_waived_is_refused_with_the_code_that_says_why() {
    let daemon = orders();
    let table: [(&str, &[&str], i32, &str); 6] = [
        ("CF-01", &["--expires", "14d"], 7, "CF-001"),
        ("CF-001", &["--expires", "2020-01-01"], 2, "expired already"),
        ("CF-001", &["--expires", "400d"], 2, "at most 365 days"),
        ("CF-001", &["--expires", "soon"], 2, "neither a date"),
        ("CF-001", &[], 2, "--expires"),
        ("CF-001", &["--expires", "14d", "--resource", "agent/none"], 7, "no report has CF-001 yet"),
    ];
    for (check, more, code, why) in table {
        let answer = daemon.ctl(waive(check, more)).exits(code);
        assert!(answer.stderr.contains(why), "{check} {more:?}: {answer}");
    }
    let blank = ["waiver", "add", "CF-001", "--owner", " ", "--reason", "x", "--expires", "14d"];
    assert!(daemon.ctl(blank).exits(2).stderr.contains("--owner is blank"));
    assert_eq!(daemon.ctl(["waiver", "list", "--all"]).exits(0).stdout, "no waiver is kept\n");
}

#[test]
fn a_crowd_of_waivers_is_a_finding() {
    let daemon = Daemon::start(&ORDERS.replace("[[agent]]", "[readiness]\nmax_waivers = 1\n\n[[agent]]"));
    let look = || daemon.ctl(["validate", "--only", "CF-020", "-o", "json"]).json()["findings"][0].clone();
    assert_eq!(look()["outcome"], "pass");
    for check in ["CF-001", "CF-002"] {
        daemon.ctl(waive(check, &["--expires", "1h"])).exits(0);
    }
    let found = look();
    assert_eq!(found["outcome"], "fail", "{found:#}");
    assert!(
        found["summary"].as_str().is_some_and(|text| text.contains("2 waivers are in force, and 1 may be"))
    );
}

#[test]
fn demands_and_a_baseline_are_held_against_what_was_found() {
    let daemon = orders();
    assert!(validate(&daemon, &["--environment", "production"]).exits(7).stderr.contains("runs staging"));
    for wrong in [&["--fail-under", "101"][..], &["--fail-under", "NaN"], &["--fail-on", "sometimes"]] {
        validate(&daemon, wrong).exits(2);
    }
    let missing = validate(&daemon, &["--fail-on", "new"]).exits(7);
    assert!(missing.stderr.contains("no full one of staging has finished"), "{missing}");
    let sound = validate(&daemon, &["--environment", "staging", "--fail-under", "90"]).exits(0);
    let file = daemon.path("main.json");
    fs::write(&file, &sound.stdout).expect("kept");
    spoil(&daemon);
    let file = file.to_str().expect("text");
    let worse =
        validate(&daemon, &["--baseline", file, "--fail-on", "regressed", "--fail-under", "99"]).json();
    assert_eq!(worse["baseline"]["regressed"], serde_json::json!(["CF-001"]), "{worse:#}");
    assert_eq!(worse["unmet"].as_array().map(Vec::len), Some(2), "{worse:#}");
    // Waived, it does not fail the run; what is asked beyond the verdict still does.
    daemon.ctl(waive("CF-001", &["--expires", "1h"])).exits(0);
    let waived = validate(&daemon, &["--baseline", "1", "--fail-on", "new"]).json();
    assert_eq!(
        (&waived["unmet"], &waived["baseline"]["against"]),
        (&Value::Null, &"run 1".into()),
        "{waived:#}"
    );
    validate(&daemon, &["--fail-under", "99"]).exits(1);
    fs::write(daemon.path("other.json"), r#"{"schema_version": 7}"#).expect("written");
    let other = daemon.path("other.json");
    let refused = validate(&daemon, &["--baseline", other.to_str().expect("text")]).exits(2);
    assert!(refused.stderr.contains("version 7"), "{refused}");
}

#[test]
fn cron_hears_nothing_of_a_run_that_holds_and_the_reason_of_one_that_does_not() {
    let daemon = orders();
    let quiet = ["validate", "--only", ONLY, "--quiet"];
    let answer = daemon.ctl(quiet).exits(0);
    assert!(answer.stdout.is_empty() && answer.stderr.is_empty(), "{answer}");
    spoil(&daemon);
    let answer = daemon.ctl(quiet).exits(1);
    assert!(answer.stdout.starts_with("NOT READY: validation 2 of staging"), "{answer}");
    assert!(answer.stdout.contains("gate CF-001 failed") && answer.stderr.is_empty(), "{answer}");
    assert!(answer.stdout.lines().count() < 4, "{answer}");
}

/// agentctl under way, to be interrupted.
struct UnderWay {
    child: Child,
    /// Where its temporary directories are.
    scratch: TempDir,
}

impl UnderWay {
    fn begin(args: &[&str], at: &Path) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        // Agents under a uid of their own must reach what is in it.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).expect("permissions");
        let mut command = Command::new(agentctl_bin());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AGENT") {
                command.env_remove(name);
            }
        }
        command.args(args).env("TMPDIR", scratch.path()).current_dir(at).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.expect("agentctl runs"), scratch }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalled");
    }

    fn ended(&mut self) -> Answer {
        assert!(ends(&self.child), "it goes on");
        let status = self.child.wait().expect("reaped");
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        Answer { code: status.code().expect("it was not killed"), stdout, stderr }
    }

    /// Processes that run a program of its directory, or were told of it.
    fn processes(&self) -> Vec<i32> {
        let home = self.scratch.path();
        let name = home.to_str().expect("text").as_bytes();
        let own = self.child.id().cast_signed();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = |pid: &i32| {
            let told = fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.windows(name.len()).any(|part| part == name));
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(home)) || told
        };
        pids.filter(|pid| *pid != own && ours(pid)).collect()
    }

    #[track_caller]
    fn left_nothing(&self) {
        let files: Vec<_> = fs::read_dir(self.scratch.path()).expect("a directory").flatten().collect();
        assert!(files.is_empty() && self.processes().is_empty(), "{files:?} {:?}", self.processes());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The runs, newest first: number and state.
fn runs(daemon: &Daemon) -> Vec<(u64, String)> {
    let list = daemon.get("/v1/readiness/list?limit=9");
    let runs = list["runs"].as_array().expect("runs").clone();
    let of = |run: &Value| {
        (run["run"].as_u64().expect("a number"), run["state"].as_str().expect("a state").into())
    };
    runs.iter().map(of).collect()
}

#[test]
fn ctrl_c_calls_off_the_run_and_no_other_and_overlapping_ones_are_refused() {
    let daemon = orders();
    let socket = daemon.socket();
    let args = ["--socket", socket.to_str().expect("text"), "validate"];
    let mut first = UnderWay::begin(&args, daemon.home());
    assert!(eventually(|| runs(&daemon).first().is_some_and(|(_, state)| state == "running")));
    let second = daemon.ctl(["validate", "--only", "CF-002"]).exits(7);
    assert!(second.stderr.contains("run 1 is under way"), "{second}");
    assert_eq!(runs(&daemon), [(1, "running".into())], "the refused one had an effect");
    first.signal(Signal::INT);
    let answer = first.ended();
    assert_eq!((answer.code, answer.stdout.as_str()), (130, ""), "{answer}");
    assert!(answer.stderr.contains("Run 1 is cancelled"), "{answer}");
    assert_eq!(runs(&daemon), [(1, "cancelled".into())]);
    assert!(!daemon.path("state/scratch").exists(), "scratch ground is left");
    assert!(daemon.ctl(["validate", "list"]).exits(0).stdout.contains("cancelled"));
    daemon.ctl(["validate", "show", "1"]).exits(7);
    daemon.ctl(["validate", "--only", "CF-002"]).exits(0);
    assert_eq!(runs(&daemon)[0], (2, "finished".into()));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_a_daemon_that_hangs() {
    let daemon = orders();
    let socket = daemon.socket();
    let args = ["--socket", socket.to_str().expect("text"), "validate"];
    let mut asked = UnderWay::begin(&args, daemon.home());
    assert!(eventually(|| runs(&daemon).first().is_some_and(|(_, state)| state == "running")));
    daemon.signal(Signal::STOP);
    asked.signal(Signal::INT);
    let mut said = [0; 10];
    asked.child.stderr.as_mut().expect("piped").read_exact(&mut said).expect("a word");
    assert_eq!(&said, b"Cancelling");
    asked.signal(Signal::INT);
    let began = Instant::now();
    assert_eq!(asked.ended().code, 130);
    assert!(began.elapsed() < PATIENCE / 6, "it waited");
    daemon.signal(Signal::CONT);
}

#[test]
fn an_ephemeral_daemon_judges_the_fleet_and_is_gone() {
    let place = Daemon::prepared(ORDERS);
    let before = names(place.home());
    let only = [
        "validate",
        "--ephemeral",
        "--config",
        "agentd.toml",
        "--only",
        "AO-001,CF-001,CF-002",
        "-o",
        "json",
    ];
    let mut run = UnderWay::begin(&[&only[..], &["--environment", "staging"]].concat(), place.home());
    let answer = run.ended().exits(0);
    let report = answer.json();
    assert_eq!((&report["environment"], &report["run"]), (&"staging".into(), &1.into()), "{report:#}");
    let outcomes: Vec<_> =
        report["findings"].as_array().expect("findings").iter().map(|f| &f["outcome"]).collect();
    assert!(outcomes.iter().all(|outcome| **outcome == "pass"), "{report:#}");
    run.left_nothing();
    assert_eq!(names(place.home()), before, "it left something where the manifest stands");
}

#[test]
fn an_ephemeral_daemon_that_cannot_start_or_is_interrupted_leaves_nothing_either() {
    let place = Daemon::prepared(&ORDERS.replace("tier =", "teir ="));
    let begin = |args: &[&str]| UnderWay::begin(&[&["validate", "--ephemeral"], args].concat(), place.home());
    let mut broken = begin(&["--config", "agentd.toml"]);
    let answer = broken.ended().exits(2);
    assert!(answer.stderr.contains("teir"), "{answer}");
    broken.left_nothing();

    let mut none = begin(&["--config", "missing.toml"]);
    assert!(none.ended().exits(2).stderr.contains("no such file"));
    none.left_nothing();
    for history in [&["--baseline", "last"][..], &["--fail-on", "new"]] {
        let mut asked = begin(history);
        assert!(asked.ended().exits(2).stderr.contains("no earlier runs"));
        asked.left_nothing();
    }

    place.rewrite(ORDERS);
    for stage in ["bin/agentd", "agentctl"] {
        for signal in [Signal::INT, Signal::TERM] {
            let mut run = begin(&["--config", "agentd.toml"]);
            // Its daemon first, then its agent.
            let runs_already = || {
                run.processes().iter().any(|pid| {
                    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                    exe.to_string_lossy().ends_with(stage)
                })
            };
            assert!(eventually(runs_already), "{stage} never ran");
            run.signal(signal);
            assert_eq!(run.ended().code, 130, "{stage} {signal:?}");
            run.left_nothing();
        }
    }
}

#[test]
fn an_ephemeral_daemon_ends_with_whoever_was_killed_over_it() {
    let place = Daemon::prepared(ORDERS);
    let args = ["validate", "--ephemeral", "--config", "agentd.toml"];
    let mut run = UnderWay::begin(&args, place.home());
    let agent = || {
        run.processes().iter().any(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("demo-agent"))
        })
    };
    assert!(eventually(agent), "its agent never ran");
    run.signal(Signal::KILL);
    run.child.wait().expect("reaped");
    assert!(eventually(|| run.processes().is_empty()), "its daemon and agents outlived it");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_agent_may_not_waive() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can be somebody else; what an agent is refused is asserted route by route in access.rs
    }
    let group = "65534";
    let access = format!("[access]\nsocket_group = \"{group}\"\nadmin_groups = [\"{group}\"]\n\n[[agent]]");
    let daemon = Daemon::start(&ORDERS.replace("[[agent]]", &access));
    becomes(&daemon, "orders", "ready");
    let pid = crate::support::instance(&daemon, "orders")["pid"].clone();
    let uid = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    let mut command = Command::new(daemon.path("agentctl"));
    command.arg("--socket").arg(daemon.socket()).args(waive("CF-001", &["--expires", "14d"]));
    let answer: Answer =
        command.uid(uid).gid(65534).current_dir("/").env_clear().output().expect("agentctl runs").into();
    let answer = answer.exits(4);
    assert!(answer.stderr.contains("readiness.waive") && answer.stderr.contains("agent orders"), "{answer}");
    assert_eq!(daemon.ctl(["waiver", "list", "--all"]).exits(0).stdout, "no waiver is kept\n");
}
