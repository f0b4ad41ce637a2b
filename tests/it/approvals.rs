//! Approvals through the real binaries: who may give one by what the kernel says, and that each is for one exact action,
//! once, over a kill of the daemon.
use crate::support::{Answer, Daemon, eventually, instance};
use agentctl::{
    commands,
    domain::{APPROVABLE, Audited, Permission},
    protocol::Verb,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::Command,
};

/// Two people that the machine need not know, and the group by which they reach the socket.
const ANA: u32 = 54_101;
const BO: u32 = 54_102;
const PEOPLE: u32 = 54_100;

/// What no approval can be asked for: it changes nothing of the fleet, its policy or the daemon, or is about approvals.
const NEEDS_NONE: &[Permission] =
    &[Permission::AgentReport, Permission::ApprovalGive, Permission::SessionOwn, Permission::AccessAsk];

#[test]
fn whatever_changes_something_can_be_made_to_wait_for_an_approval() {
    let routes = commands::routes();
    let changes = routes.iter().filter(|route| {
        route.verb == Verb::Write && route.audited != Audited::Not && !NEEDS_NONE.contains(&route.needs)
    });
    let changes: BTreeSet<_> = changes.map(|route| route.action).collect();
    let known: BTreeSet<_> = APPROVABLE.iter().copied().collect();
    assert_eq!(known, changes, "bring domain::APPROVABLE to what the routes are");
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An agent, as `user`, beside two operators; `approvals` under its own heading.
fn manifest(user: &str, approvals: &str) -> String {
    format!(
        r#"
        schema = 1
        [access]
        socket_group = "{PEOPLE}"
        operator_users = ["{ANA}", "{BO}"]
        [approvals]
        {approvals}
        [[agent]]
        name = "orders"
        kind = "process"
        user = "{user}"
        options = {{ command = [{{agentctl}}, "demo-agent", "stdio"] }}
        "#
    )
}

const REQUIRED: &str = r#"required = ["waivers/add", "config/reload", "agents/stop"]"#;

/// agentctl as somebody else.
fn as_user(daemon: &Daemon, uid: u32, args: &[&str]) -> Answer {
    let mut command = Command::new(daemon.path("agentctl"));
    command.arg("--socket").arg(daemon.socket()).args(args).current_dir("/").env_clear();
    command.uid(uid).gid(PEOPLE).output().expect("agentctl runs").into()
}

fn waive(reason: &str) -> [&str; 9] {
    ["waiver", "add", "CF-001", "--owner", "shop", "--reason", reason, "--expires", "1h"]
}

/// The number of the approval that a refusal speaks of.
#[track_caller]
fn asked(refused: &Answer) -> String {
    let hint =
        refused.stderr.split("approval give ").nth(1).unwrap_or_else(|| panic!("no number in {refused}"));
    hint.chars().take_while(char::is_ascii_digit).collect()
}

fn waivers(daemon: &Daemon) -> usize {
    daemon.ctl(["waiver", "list", "-o", "json"]).exits(0).json()["waivers"].as_array().map_or(99, Vec::len)
}

/// A daemon of root's with an agent of its own user, which runs; and that user's uid.
fn fleet(approvals: &str) -> (Daemon, u32, i32) {
    let daemon = Daemon::start(&manifest("auto", approvals));
    assert!(eventually(|| instance(&daemon, "orders")["separation"] == "own-user"
        && instance(&daemon, "orders")["pid"].is_i64()));
    let pid = instance(&daemon, "orders")["pid"].as_i64().expect("it runs");
    let uid = fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
    (daemon, uid, i32::try_from(pid).expect("a pid"))
}

#[test]
fn under_root_an_agent_that_runs_agentctl_itself_gives_nothing_and_a_person_does() {
    if !am_root() {
        return; // a uid of its own is root's to give; see the test of one uid below
    }
    let (mut daemon, agent, pid) = fleet(REQUIRED);
    let refused = daemon.ctl(waive("first")).exits(6);
    let id = asked(&refused);
    assert!(refused.stderr.contains("without somebody else's approval"), "{refused}");

    // By its uid, whatever the group that it runs in, and from its own cgroup where there are any.
    for args in
        [&["approval", "give", &id][..], &["approval", "deny", &id, "--reason", "x"], &["config", "reload"]]
    {
        let answer = as_user(&daemon, agent, args).exits(4);
        assert!(answer.stderr.contains("agent orders"), "{answer}");
    }
    if let Some(cgroup) = cgroup_of(&daemon, pid) {
        let inside = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.display());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &inside, "sh"]).arg(daemon.path("agentctl"));
        shell.arg("--socket").arg(daemon.socket()).args(["approval", "give", &id]).env_clear();
        // As root, from the agent's cgroup: the kernel says whose process it is.
        Answer::from(shell.output().expect("a shell")).exits(4);
    }
    let shown = daemon.ctl(["approval", "show", &id, "-o", "json"]).exits(0).json();
    assert_eq!((&shown["state"], &shown["schema_version"]), (&"pending".into(), &1.into()), "{shown:#}");
    // Nor can it write the manifest.
    let write = format!("echo >> {}", daemon.path("agentd.toml").display());
    let wrote = Command::new("/bin/sh").args(["-c", &write]).uid(agent).gid(agent).output();
    assert!(!wrote.expect("a shell").status.success(), "the agent wrote the manifest");

    let own = daemon.ctl(["approval", "give", &id]).exits(6);
    assert!(own.stderr.contains("that is you"), "{own}");
    let words = as_user(&daemon, ANA, &["approval", "show", &id]).exits(0);
    assert!(
        words.stdout.contains("waivers/add") && words.stdout.contains("\"reason\": \"first\""),
        "{words}"
    );
    as_user(&daemon, ANA, &["approval", "give", &id]).exits(0);

    daemon.ctl(waive("another")).exits(6);
    assert!(as_user(&daemon, BO, &waive("first")).exits(6).stderr.contains("approval 3"));
    assert_eq!(waivers(&daemon), 0);
    // Given before a kill, used after it.
    daemon.kill();
    daemon.launch();
    daemon.ctl(waive("first")).exits(0);
    assert_eq!(waivers(&daemon), 1);
    let again = daemon.ctl(waive("first")).exits(6);
    assert_ne!(asked(&again), id, "an approval was used twice");
    assert_eq!(waivers(&daemon), 1);
    daemon.ctl(["approval", "give", "99"]).exits(7);

    let audit = trail(&daemon);
    let of_agent = format!("agent:orders|uid {agent}");
    assert!(
        audit.iter().any(|row| row.starts_with(&of_agent) && row.ends_with("approvals/give|refused")),
        "{audit:#?}"
    );
    for row in ["approvals/ask|done", "approvals/give|done", "approvals/use|done", "waivers/add|refused"] {
        assert!(audit.iter().any(|told| told.ends_with(row)), "{row} is missing: {audit:#?}");
    }
}

#[test]
fn under_root_a_reload_is_approved_for_what_the_manifest_says_then() {
    if !am_root() {
        return; // see above
    }
    let (daemon, ..) = fleet(REQUIRED);
    let now = |reason: &str| daemon.rewrite(&(manifest("auto", REQUIRED) + &format!("# {reason}\n")));
    now("one");
    let id = asked(&daemon.ctl(["config", "reload"]).exits(6));
    as_user(&daemon, BO, &["approval", "give", &id]).exits(0);
    // What was approved is no longer what would be read.
    now("two");
    let other = asked(&daemon.ctl(["config", "reload"]).exits(6));
    assert_ne!(other, id);
    daemon.signal(rustix::process::Signal::HUP);
    assert!(eventually(|| daemon.log().contains("not reloaded: config/reload needs an approval")));
    now("one");
    daemon.ctl(["config", "reload"]).exits(0);
    daemon.ctl(["config", "reload"]).exits(6);
}

#[test]
fn under_root_a_manifest_that_the_agent_could_change_is_not_read() {
    if !am_root() {
        return; // see above
    }
    let (mut daemon, agent, _) = fleet("required = []");
    let file = daemon.path("agentd.toml");
    daemon.ctl(["config", "reload"]).exits(0);
    chown(&file, Some(agent), None).expect("given away");
    let refused = daemon.ctl(["config", "reload"]).exits(2);
    assert!(refused.stderr.contains("an agent could change it"), "{refused}");
    assert_eq!(daemon.stop(), Some(0));
    let started = daemon.another(&daemon.path("state"), &daemon.socket()).exits(2);
    assert!(started.stderr.contains("an agent could change it"), "{started}");
    chown(&file, Some(0), None).expect("taken back");
    daemon.launch();
}

#[test]
fn under_root_what_was_denied_withdrawn_or_lapsed_lets_nothing_through() {
    if !am_root() {
        return; // see above
    }
    let (daemon, ..) = fleet("required = [\"agents/stop\"]\nvalid_for = \"2s\"");
    let stop = ["agent", "stop", "orders", "--yes"];
    let id = asked(&as_user(&daemon, ANA, &stop).exits(6));
    as_user(&daemon, BO, &["approval", "withdraw", &id]).exits(4);
    as_user(&daemon, BO, &["approval", "deny", &id, "--reason", "not at night"]).exits(0);
    assert!(as_user(&daemon, ANA, &stop).exits(6).stderr.contains("denied approval 1: not at night"));
    as_user(&daemon, BO, &["approval", "give", &id]).exits(7);
    // The no lapses, and it can be asked for anew.
    let state = |id: &str| daemon.ctl(["approval", "show", id, "-o", "json"]).json()["state"].clone();
    let mut next = String::new();
    assert!(eventually(|| {
        let refused = as_user(&daemon, ANA, &stop).exits(6);
        if refused.stderr.contains("denied") {
            return false;
        }
        next = asked(&refused);
        true
    }));
    as_user(&daemon, ANA, &["approval", "withdraw", &next]).exits(0);
    assert_eq!(state(&next), "withdrawn");
    let late = asked(&as_user(&daemon, ANA, &stop).exits(6));
    as_user(&daemon, BO, &["approval", "give", &late]).exits(0);
    assert!(eventually(|| state(&late) == "expired"));
    as_user(&daemon, ANA, &stop).exits(6);
    assert_eq!(instance(&daemon, "orders")["state"], "ready", "what nobody approved was done");
    let list = daemon.ctl(["approval", "list", "--all"]).exits(0);
    for word in ["expired", "withdrawn", "user:54101"] {
        assert!(list.stdout.contains(word), "{list}");
    }
}

#[test]
fn where_an_agent_has_the_daemons_own_uid_what_needs_an_approval_is_refused() {
    let group = if am_root() { PEOPLE } else { rustix::process::getegid().as_raw() };
    let bare = manifest("inherit", REQUIRED).replace(&format!("\"{PEOPLE}\""), &format!("\"{group}\""));
    let daemon = Daemon::start(&bare);
    assert!(eventually(|| instance(&daemon, "orders")["separation"] == "none"));
    let refused = daemon.ctl(waive("first")).exits(6);
    assert!(
        refused.stderr.contains("nothing but goodwill") && refused.stderr.contains("user = \"auto\""),
        "{refused}"
    );
    assert_eq!(daemon.ctl(["approval", "list", "--all"]).exits(0).stdout, "no approval is kept\n");
    daemon.ctl(["approval", "give", "1"]).exits(7);
    daemon.ctl(["config", "reload"]).exits(6);
    // What needs none is done as ever.
    daemon.ctl(["agent", "restart", "orders"]).exits(0);
    let found = daemon.ctl(["validate", "--only", "AU-044", "-o", "json"]).json()["findings"][0].clone();
    assert_eq!(found["outcome"], "warn", "{found:#}");
}

#[test]
fn the_manifest_may_require_only_what_there_is() {
    let daemon = Daemon::prepared(&manifest("inherit", "required = [\"waivers/ad\"]"));
    let file = daemon.path("agentd.toml");
    let refused = daemon.ctl(["config", "check", file.to_str().expect("text")]).exits(2);
    assert!(refused.stderr.contains("waivers/add"), "{refused}");
    daemon.rewrite(&manifest("inherit", "required = [\"waivers/add\"]\nvalid_for = \"0s\""));
    assert!(
        daemon.ctl(["config", "check", file.to_str().expect("text")]).exits(2).stderr.contains("valid_for")
    );
    daemon.rewrite(&manifest("inherit", REQUIRED));
    daemon.ctl(["config", "check", file.to_str().expect("text")]).exits(0);
}

/// The agent's cgroup of version 2, where it has one of its own.
fn cgroup_of(daemon: &Daemon, pid: i32) -> Option<PathBuf> {
    let cgroup = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
    };
    let own = cgroup(pid).filter(|own| Some(own) != cgroup(daemon.pid()).as_ref())?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.starts_with("cgroup2 "))?.split(' ').nth(1)?.to_owned();
    Some(PathBuf::from(mount + &own))
}

/// Every row of the audit trail as `who|from…|what|outcome`, read from a copy as a restart would.
fn trail(daemon: &Daemon) -> Vec<String> {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["agentd.db", "agentd.db-wal"] {
        fs::copy(daemon.path("state").join(name), copy.path().join(name)).expect("copied");
    }
    let database = rusqlite::Connection::open(copy.path().join("agentd.db")).expect("opens");
    let mut query = database
        .prepare(
            "SELECT principal || '|' || origin || '|' || action || '|' || outcome FROM audit ORDER BY seq",
        )
        .expect("a table");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}
