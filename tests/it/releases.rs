//! Releases through the real binaries: recorded, seen, compared, blessed, deleted; what an agent runs from; and what a
//! killed daemon leaves.
use crate::support::{Daemon, agentctl, becomes, eventually, instance};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

const MANIFEST: &str = r#"
schema = 1
environment = "staging"
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "service"
artifact = "code"
stop_timeout = "1s"
options = { command = ["/bin/sh", "{artifact}/run.sh"], workdir = "{artifact}", environment = { CODE = "{artifact}" } }
"#;

/// With a directory of code that any user may read.
fn prepared() -> Daemon {
    let daemon = Daemon::prepared(MANIFEST);
    fs::create_dir_all(daemon.path("code")).expect("made");
    fs::write(daemon.path("code/run.sh"), "echo \"$CODE\" > /dev/null\nexec sleep 1000\n").expect("written");
    daemon
}

fn started() -> Daemon {
    let daemon = prepared().launched();
    becomes(&daemon, "orders", "ready");
    daemon
}

fn runs_in(daemon: &Daemon) -> PathBuf {
    let pid = instance(daemon, "orders")["pid"].as_i64().expect("a pid");
    fs::read_link(format!("/proc/{pid}/cwd")).expect("it lives")
}

fn create(daemon: &Daemon, note: &str) -> String {
    let made = daemon.ctl(["release", "create", "--note", note, "-o", "json"]).exits(0).json();
    made["release"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_release_is_recorded_seen_compared_blessed_and_deleted() {
    let daemon = started();
    assert!(daemon.ctl(["release", "list"]).exits(0).stdout.contains("no release"));
    let dry = daemon.ctl(["release", "create", "--dry-run"]).exits(0);
    assert!(dry.stdout.contains("would record r-1; nothing was written"), "{dry}");
    assert!(!daemon.path("releases").exists());

    fs::write(daemon.path("code/.env"), "A=1\n").expect("written");
    let made = daemon.ctl(["release", "create", "--note", "the first"]).exits(0);
    assert!(made.stdout.contains("r-1 is recorded: 1 agents, 1 artifacts (2 files"), "{made}");
    assert!(made.stdout.contains("code/.env would be part of the release"), "{made}");
    let again = daemon.ctl(["release", "create"]).exits(7);
    assert!(again.stderr.contains("r-1 ships the same") && again.stderr.contains("--force"), "{again}");
    let unproved = daemon.ctl(["release", "bless", "r-1", "--reason", "as it runs"]).exits(6);
    assert!(unproved.stderr.contains("no soak has said go for it"), "{unproved}");
    daemon.ctl(["release", "bless", "r-1", "--unproved"]).exits(2);
    daemon.ctl(["release", "bless", "r-1", "--unproved", "--reason", "as it runs"]).exits(0);

    fs::remove_file(daemon.path("code/.env")).expect("removed");
    let contact = "contacts.a = { name = \"A\", email = \"a@b.example\" }\n[[agent]]";
    daemon.rewrite(&MANIFEST.replace("[[agent]]", contact));
    assert_eq!(create(&daemon, "the second"), "r-2");
    let shown = daemon.ctl(["release", "show", "r-2"]).exits(0);
    assert!(shown.stdout.contains("has not been reloaded since it was changed"), "{shown}");
    let diff = daemon.ctl(["release", "diff", "r-1", "r-2"]).exits(0);
    assert!(diff.stdout.contains("+contacts.a") && diff.stdout.contains("changed"), "{diff}");
    let listed = daemon.ctl(["release", "list", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&listed["releases"][0]["id"], &listed["releases"][1]["state"]),
        (&"r-2".into(), &"stable".into())
    );
    let unblessed = daemon.ctl(["release", "bless", "r-2"]).exits(6);
    assert!(unblessed.stderr.contains("not what runs now"), "{unblessed}");
    let held = daemon.ctl(["release", "delete", "r-1", "--yes"]).exits(6);
    assert!(held.stderr.contains("it is stable"), "{held}");
    daemon.ctl(["release", "delete", "r-2", "--yes"]).exits(0);
    assert_eq!(daemon.ctl(["release", "list", "-o", "name"]).exits(0).stdout, "r-1\n");
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let daemon = started();
    for (args, code, said) in [
        (vec!["show", "r-9"], 7, "cannot find release r-9"),
        (vec!["show", "../etc"], 2, "is no release"),
        (vec!["verify", "r-9"], 7, "cannot find release r-9"),
        (vec!["delete", "r-9", "--yes"], 7, "cannot find release r-9"),
        (vec!["diff", "r-8", "r-9"], 7, "cannot find release r-8"),
        (vec!["create", "--note", "a\nb"], 2, "one line"),
    ] {
        let answer = daemon.ctl([&["release"][..], &args[..]].concat()).exits(code);
        assert!(answer.stderr.contains(said), "{args:?}: {answer}");
    }
    assert_eq!(create(&daemon, "one"), "r-1");
    let asked = daemon.ctl(["release", "delete", "r-1"]).exits(6);
    assert!(asked.stderr.contains("--yes"), "{asked}");
    daemon.ctl(["release", "delete", "r-1", "--yes"]).exits(0);
    assert_eq!(create(&daemon, "its number is not given again"), "r-2");
}

#[test]
fn an_agent_runs_from_the_release_that_is_current_and_keeps_it() {
    let daemon = started();
    assert_eq!(runs_in(&daemon), daemon.path("code"));
    assert_eq!(instance(&daemon, "orders")["release"], serde_json::Value::Null);
    let one = create(&daemon, "one");
    symlink(&one, daemon.path("releases/current")).expect("linked");
    daemon.ctl(["agent", "restart", "orders", "--wait"]).exits(0);
    assert_eq!(runs_in(&daemon), daemon.path("releases/r-1/orders"));
    assert_eq!(instance(&daemon, "orders")["release"], "r-1");
    let shown = daemon.ctl(["agent", "show", "orders"]).exits(0);
    assert!(shown.stdout.contains("RELEASE") && shown.stdout.contains("r-1"), "{shown}");
    let listed = daemon.ctl(["release", "list"]).exits(0);
    assert!(listed.stdout.contains("current, 1 instances"), "{listed}");

    // What it runs it may read, and nobody else's user; nothing of it is writable.
    let about = fs::metadata(daemon.path("releases/r-1/orders")).expect("there");
    assert_eq!(about.permissions().mode() & 0o777, 0o550);

    // Another release takes its place in the link: the living instance keeps its own, also over a crash of agentd.
    fs::write(daemon.path("code/more"), "x").expect("written");
    let two = create(&daemon, "two");
    fs::remove_file(daemon.path("releases/current")).expect("removed");
    symlink(&two, daemon.path("releases/current")).expect("linked");
    let mut daemon = daemon;
    daemon.kill();
    daemon.launch();
    becomes(&daemon, "orders", "ready");
    assert_eq!(instance(&daemon, "orders")["release"], "r-1");
    assert_eq!(runs_in(&daemon), daemon.path("releases/r-1/orders"));
    let used = daemon.ctl(["release", "delete", "r-1", "--yes"]).exits(6);
    assert!(used.stderr.contains("1 instances run it"), "{used}");
    daemon.ctl(["agent", "restart", "orders", "--wait"]).exits(0);
    assert_eq!(instance(&daemon, "orders")["release"], "r-2");
    daemon.ctl(["release", "delete", "r-1", "--yes"]).exits(0);
    assert_eq!(daemon.ctl(["release", "list", "-o", "name"]).exits(0).stdout, "r-2\n");
}

#[test]
fn what_changed_in_a_recorded_release_is_named_and_the_exit_code_says_so() {
    let daemon = started();
    create(&daemon, "one");
    daemon.ctl(["release", "verify", "r-1"]).exits(0);
    let file = daemon.path("releases/r-1/orders/run.sh");
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    open(&daemon.path("releases/r-1/orders"));
    open(&file);
    fs::write(&file, "evil\n").expect("written");
    let told = daemon.ctl(["release", "verify", "r-1"]).exits(1);
    assert!(told.stdout.contains("orders/run.sh has other content"), "{told}");
}

#[test]
fn a_daemon_that_is_killed_while_it_copies_leaves_nothing_half_and_what_is_on_disk_is_known_again() {
    let mut daemon = prepared();
    for number in 0..3_000 {
        fs::write(daemon.path(&format!("code/{number}")), number.to_string()).expect("written");
    }
    daemon.launch();
    let making = || {
        let entries = fs::read_dir(daemon.path("releases")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".making-")).count()
    };
    let socket = daemon.socket();
    let asked = std::thread::spawn(move || {
        agentctl(["--socket".as_ref(), socket.as_os_str(), "release".as_ref(), "create".as_ref()])
    });
    assert!(eventually(|| making() == 1), "it never began to copy");
    daemon.kill();
    assert_ne!(asked.join().expect("it ended").code, 0);
    daemon.launch();
    let ended = daemon.ctl(["operation", "show", "op-1", "--follow", "-o", "json"]).exits(0).json();
    assert_eq!(ended["state"], "succeeded", "it was not gone on with: {ended:#}");
    let left = || {
        let entries = fs::read_dir(daemon.path("releases")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert!(eventually(|| left() == ["r-1"]), "what was half is still there: {:?}", left());
    daemon.ctl(["release", "verify", "r-1"]).exits(0);
    assert_eq!(daemon.ctl(["release", "list", "-o", "name"]).exits(0).stdout, "r-1\n");
}

#[test]
fn an_artifact_and_its_place_in_the_options_go_together() {
    let check = |manifest: &str| {
        let daemon = Daemon::prepared(manifest);
        agentctl(["config".as_ref(), "check".as_ref(), daemon.path("agentd.toml").as_os_str()])
    };
    check(MANIFEST).exits(0);
    let without = check(&MANIFEST.replace("artifact = \"code\"", "")).exits(2);
    assert!(without.stderr.contains("asks for {artifact}"), "{without}");
    let unused = check(&MANIFEST.replace("{artifact}", "/x")).exits(0);
    assert!(format!("{unused}").contains("`artifact` is unused"), "{unused}");
    for (migration, said) in [
        ("up = [\"x\"]", "has no way back"),
        ("down = [\"x\"]", "there is no `up`"),
        ("up = [\"x\"]\ndown = [\"y\"]\nirreversible = true", "is not `irreversible`"),
        ("unprepare = [\"x\"]", "there is no `prepare`"),
        ("prepare = [\"\"]", "names no program"),
        ("up = [\"x\", \"env:TOKEN\"]\nirreversible = true", "visible to every user"),
    ] {
        let answer = check(&format!("{MANIFEST}\n[releases.migration]\n{migration}\n")).exits(2);
        assert!(answer.stderr.contains(said), "{migration}: {answer}");
    }
    check(&format!("{MANIFEST}\n[releases.migration]\nup = [\"x\"]\ndown = [\"y\"]\n")).exits(0);
    check(&format!("{MANIFEST}\n[releases.migration]\nprepare = [\"x\"]\nunprepare = [\"y\"]\n")).exits(0);
    check(&format!("{MANIFEST}\n[releases.migration]\nprepare = [\"x\"]\n")).exits(0);
}
