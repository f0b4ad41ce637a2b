//! The daemon's own life: started once, told apart from a dead one, reloaded, watched by systemd, ended.
use crate::support::{Daemon, PATIENCE, agentctl, becomes, eventually, instance, state};
use rustix::process::Signal;
use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixDatagram, UnixListener},
    },
    path::Path,
    time::{Duration, Instant},
};

const QUIET: &str = "schema = 1\n[daemon]\ncgroups = \"off\"\n";

const ORDERS: &str = r#"
schema = 1

[[agent]]
name = "orders"
kind = "process"
stop_timeout = "60s"
options = { command = [{agentctl}, "demo-agent", "stdio", "--fault", "ignore-term"] }
"#;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").mode() & 0o7777
}

fn pid_of(daemon: &Daemon, agent: &str) -> Option<i64> {
    instance(daemon, agent)["pid"].as_i64()
}

#[test]
fn socket_and_directories_are_private_and_are_gone_after_a_stop() {
    let mut daemon = Daemon::start(QUIET);
    assert_eq!(mode(&daemon.socket()), 0o660);
    assert_eq!(mode(&daemon.path("run")), 0o700);
    assert_eq!(mode(&daemon.path("state")), 0o700);
    assert_eq!(mode(&daemon.path("state/agentd.db")) & 0o077, 0);
    assert_eq!(mode(&daemon.path("run-report/report.sock")), 0o666);
    daemon.ctl(["daemon", "stop"]).exits(0);
    assert_eq!(daemon.ended(), Some(0));
    assert!(!daemon.path("run").exists() && !daemon.path("run-report").exists());
    let answer = daemon.ctl(["daemon", "stop"]).exits(5);
    assert!(answer.stderr.contains("cannot reach agentd"), "{answer}");
}

#[test]
fn a_group_that_is_named_may_reach_the_socket_and_nobody_else() {
    let group = rustix::process::getegid().as_raw();
    let mut daemon = Daemon::prepared(&format!("schema = 1\n[access]\nsocket_group = \"{group}\"\n"));
    // As systemd makes it, or a daemon before this one left it.
    fs::create_dir(daemon.path("run")).expect("made");
    fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o700)).expect("closed");
    daemon.launch();
    for (path, wanted) in [(daemon.path("run"), 0o750), (daemon.socket(), 0o660)] {
        assert_eq!((mode(&path), fs::metadata(&path).expect("it exists").gid()), (wanted, group), "{path:?}");
    }
    daemon.kill();
    daemon.rewrite("schema = 1\n[access]\nsocket_group = \"no-such-group\"\n");
    let said = daemon.another(&daemon.path("state"), &daemon.socket()).exits(2).stderr;
    assert!(said.contains("no-such-group") && said.contains("/etc/group"), "{said}");
}

#[test]
fn one_daemon_a_state_directory_and_one_a_socket() {
    let daemon = Daemon::start(QUIET);
    let said = daemon.another(&daemon.path("state"), &daemon.path("other/agentd.sock")).exits(7).stderr;
    assert!(said.contains(&format!("as pid {}", daemon.pid())), "{said}");
    let said = daemon.another(&daemon.path("other-state"), &daemon.socket()).exits(7).stderr;
    assert!(said.contains("another daemon answers there"), "{said}");
    let said = daemon.another(&daemon.path("long"), &daemon.path(&"x".repeat(120))).exits(2).stderr;
    assert!(said.contains("at most 107 bytes") && said.contains("--socket"), "{said}");
    let state = daemon.ctl(["daemon", "status", "-o", "json"]).exits(0).json();
    assert_eq!(state["pid"], daemon.pid(), "the first one was disturbed");
}

#[test]
fn after_kill_nine_the_stale_socket_is_replaced_and_what_is_no_socket_is_kept() {
    let mut daemon = Daemon::start(QUIET);
    daemon.kill();
    assert!(daemon.socket().exists(), "a killed daemon leaves its socket");
    daemon.ctl(["status"]).exits(5);
    daemon.launch();
    assert_eq!(daemon.stop(), Some(0));
    fs::create_dir_all(daemon.path("run")).expect("made");
    fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o700)).expect("closed");
    fs::write(daemon.socket(), "precious").expect("written");
    daemon.another(&daemon.path("state"), &daemon.socket()).exits(7);
    assert_eq!(fs::read_to_string(daemon.socket()).expect("kept"), "precious");
}

#[test]
fn a_second_term_kills_what_the_first_only_asked() {
    let mut daemon = Daemon::start(ORDERS);
    becomes(&daemon, "orders", "ready");
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    assert!(eventually(|| daemon.log().contains("\"stopping\"")), "{}", daemon.log());
    // While it stops it still shows what it does, and takes nothing on.
    let answer = daemon.ctl(["agent", "start", "orders"]);
    assert!(answer.stderr.contains("agentd is stopping"), "{answer}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for the agent: {:?}", began.elapsed());
    assert!(daemon.log().contains("killing what has not ended"), "{}", daemon.log());
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn a_reload_applies_the_difference_or_nothing() {
    let two = |refunds: &str| {
        let agent = |name: &str, more: &str| {
            format!(
                "[[agent]]\nname = \"{name}\"\nkind = \"process\"\n\
                 options = {{ command = [{{agentctl}}, \"demo-agent\", \"stdio\"{more}] }}\n"
            )
        };
        format!("schema = 1\n{}{}", agent("orders", ""), agent("refunds", refunds))
    };
    let daemon = Daemon::start(&two(""));
    becomes(&daemon, "orders", "ready");
    becomes(&daemon, "refunds", "ready");
    let before = (pid_of(&daemon, "orders"), pid_of(&daemon, "refunds"));
    let digest = || daemon.ctl(["daemon", "status", "-o", "json"]).json()["config_digest"].clone();
    let old = digest();

    daemon.rewrite("schema = 1\n[daemon]\nstart_concurency = 3\n");
    daemon.signal(Signal::HUP);
    let refused = || daemon.log().contains("configuration not reloaded");
    assert!(eventually(refused), "{}", daemon.log());
    assert!(daemon.log().contains("start_concurrency"), "the log does not say why: {}", daemon.log());
    let answer = daemon.ctl(["config", "reload"]).exits(2);
    assert!(answer.stderr.contains("start_concurrency"), "{answer}");
    assert_eq!(
        (pid_of(&daemon, "orders"), pid_of(&daemon, "refunds")),
        before,
        "a refused file had an effect"
    );
    assert_eq!(digest(), old);

    daemon.rewrite(&two(", \"--name\", \"refunds\""));
    daemon.signal(Signal::HUP);
    let restarted = || {
        let now = pid_of(&daemon, "refunds");
        now.is_some() && now != before.1 && state(&daemon, "refunds") == "ready"
    };
    assert!(eventually(restarted), "{}", daemon.log());
    assert_eq!(pid_of(&daemon, "orders"), before.0, "what did not change was restarted");
    assert_ne!(digest(), old);
    let answer = daemon.ctl(["config", "reload"]).exits(0);
    assert_eq!(answer.stdout, "unchanged  2\n", "{answer}");
    daemon.rewrite(&two("").replace("schema = 1", "schema = 1\n[store]\nreaders_max = 20"));
    let answer = daemon.ctl(["config", "reload"]).exits(0);
    assert_eq!(
        answer.stdout,
        "restarted  refunds\nunchanged  1\nwaiting    store: restart the daemon for it to take effect\n"
    );
}

/// systemd's end of the wire.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, heard: Vec::new() }
    }

    /// One message; false if none is there, or comes while it waits.
    fn receive(&mut self, waits: bool) -> bool {
        self.socket.set_nonblocking(!waits).expect("a socket");
        let mut buffer = [0; 4096];
        let Ok(length) = self.socket.recv(&mut buffer) else { return false };
        let text = String::from_utf8_lossy(&buffer[..length]);
        self.heard.extend(text.lines().map(str::to_owned));
        true
    }

    fn drain(&mut self) {
        while self.receive(false) {}
    }

    #[track_caller]
    fn hears(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        let at = loop {
            if let Some(at) = self.heard.iter().position(|line| line.starts_with(wanted)) {
                break at;
            }
            // Others may keep coming in its place.
            assert!(self.receive(true) && Instant::now() < deadline, "no {wanted} in {:?}", self.heard);
        };
        self.heard.drain(..=at);
    }
}

#[test]
fn systemd_hears_of_every_turn() {
    let daemon = Daemon::prepared(QUIET);
    let path = daemon.path("notify.sock");
    let mut manager = Manager::listen(&path);
    let mut daemon = daemon.with("NOTIFY_SOCKET", path.to_str().expect("text")).launched();
    manager.hears("READY=1");
    daemon.signal(Signal::HUP);
    manager.hears("RELOADING=1");
    manager.hears("MONOTONIC_USEC=");
    manager.hears("READY=1");
    daemon.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    assert_eq!(daemon.ended(), Some(0));
    assert!(!manager.heard.iter().any(|line| line == "WATCHDOG=1"), "nobody asked for pings");
}

#[test]
fn the_watchdog_is_fed_until_the_stores_writer_is_stuck() {
    // Agents that keep ending keep the writer busy.
    let restless = r#"
        schema = 1
        [[agent]]
        name = "restless"
        kind = "process"
        replicas = 4
        restart = { policy = "always", backoff = "10ms..20ms", latch = "1000 in 1m" }
        options = { command = ["/bin/sh", "-c", "exit 1"] }
    "#;
    let daemon = Daemon::prepared(restless);
    let path = daemon.path("notify.sock");
    let mut manager = Manager::listen(&path);
    let daemon = daemon.with("NOTIFY_SOCKET", path.to_str().expect("text"));
    let daemon = daemon.with("WATCHDOG_USEC", "300000").launched();
    manager.hears("WATCHDOG=1");
    let stuck = || daemon.log().matches("the watchdog is not fed").count();
    assert_eq!(stuck(), 0, "{}", daemon.log());

    let intruder = rusqlite::Connection::open(daemon.path("state/agentd.db")).expect("opened");
    intruder.busy_timeout(Duration::from_secs(10)).expect("patient");
    intruder.execute_batch("BEGIN IMMEDIATE").expect("the only one who writes");
    assert!(eventually(|| stuck() >= 1), "{}", daemon.log());
    manager.drain();
    manager.heard.clear();
    let before = stuck();
    assert!(eventually(|| stuck() >= before + 2), "{}", daemon.log());
    manager.drain();
    assert_eq!(manager.heard, Vec::<String>::new(), "fed while the writer was stuck");
    intruder.execute_batch("ROLLBACK").expect("let go");
    manager.hears("WATCHDOG=1");
}

#[test]
fn daemon_start_says_what_killed_an_agentd_that_died_early() {
    let daemon = Daemon::prepared("schema = 1\n[daemon]\nstart_concurency = 3\n");
    let start = |socket: &Path| {
        let (config, state) = (daemon.path("agentd.toml"), daemon.path("state"));
        let mut args =
            vec![OsStr::new("--socket"), socket.as_os_str(), OsStr::new("daemon"), OsStr::new("start")];
        args.extend([
            OsStr::new("--config"),
            config.as_os_str(),
            OsStr::new("--state-dir"),
            state.as_os_str(),
        ]);
        agentctl(args)
    };
    let answer = start(&daemon.socket()).exits(2);
    assert!(answer.stderr.contains("did you mean") && answer.stderr.contains(":3"), "{answer}");

    daemon.rewrite(QUIET);
    let answer = start(&daemon.path(&"x".repeat(120))).exits(2);
    assert!(answer.stderr.contains("at most 107 bytes"), "{answer}");
    let _taken = {
        fs::create_dir(daemon.path("run")).expect("made");
        fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o770)).expect("opened");
        UnixListener::bind(daemon.path("run/other.sock")).expect("bound")
    };
    let answer = start(&daemon.socket()).exits(2);
    assert!(answer.stderr.contains("can be written by others"), "{answer}");
    fs::set_permissions(daemon.path("run"), fs::Permissions::from_mode(0o700)).expect("closed");

    let answer = start(&daemon.socket()).exits(0);
    assert!(answer.stderr.contains("answers after"), "{answer}");
    let again = start(&daemon.socket()).exits(0);
    assert!(again.stderr.contains("runs already as pid"), "{again}");
    daemon.ctl(["daemon", "stop"]).exits(0);
    daemon.ctl(["daemon", "status"]).exits(5);
}

#[test]
fn logs_are_found_with_the_daemon_down_by_the_manifest_and_hold_plain_values() {
    let mut daemon = Daemon::prepared(QUIET);
    let logs = daemon.path("elsewhere");
    daemon.rewrite(&format!("schema = 1\n[daemon.log]\ndir = {:?}\n", logs.display().to_string()));
    daemon.launch();
    assert_eq!(daemon.stop(), Some(0));
    let config = daemon.path("agentd.toml");
    let answer =
        daemon.ctl([OsStr::new("daemon"), OsStr::new("logs"), OsStr::new("--config"), config.as_os_str()]);
    let answer = answer.exits(0);
    let line = answer.stdout.lines().find(|line| line.contains("  starting")).unwrap_or_default();
    assert!(line.contains(&format!("config={}", config.display())), "{answer}");
    assert!(!answer.stdout.contains("Some("), "{answer}");
    assert!(answer.stdout.contains("  stopped"), "{answer}");
}
