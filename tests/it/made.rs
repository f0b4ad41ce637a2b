//! Releases and backups that are made as operations, through the real binaries: followed to what they always said, left to
//! go on, called off, refused while another is under way, and killed at any moment: one is made, whole, and never two.
use crate::support::{Daemon, eventually};
use serde_json::Value;
use std::{fs, thread, time::Duration};

const MANIFEST: &str = r#"
schema = 1
releases.dir = "{home}/releases"

[[agent]]
name = "orders"
kind = "process"
enabled = false
artifact = "code"
options = { command = ["/bin/sh", "{artifact}/run.sh"] }
"#;
const MAKES: [&str; 2] = ["release", "backup"];

/// A daemon with so many files to copy.
fn daemon(files: u32) -> Daemon {
    let daemon = Daemon::prepared(MANIFEST);
    fs::create_dir(daemon.path("code")).expect("a directory");
    fs::write(daemon.path("code/run.sh"), "exec sleep 60\n").expect("written");
    for number in 0..files {
        fs::write(daemon.path(&format!("code/{number}")), number.to_string()).expect("written");
    }
    daemon.launched()
}

fn names(daemon: &Daemon, of: &str) -> Vec<String> {
    let listed = daemon.ctl([of, "list", "-o", "name"]).exits(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

fn begins(daemon: &Daemon, of: &str) -> String {
    daemon.ctl([of, "create", "--detach", "-o", "name"]).exits(0).stdout.trim().to_owned()
}

fn ends(daemon: &Daemon, operation: &str) -> Value {
    daemon.ctl(["operation", "show", operation, "--follow", "-o", "json"]).json()
}

/// What is neither whole nor gone.
fn halves(daemon: &Daemon) -> Vec<String> {
    let entries = |at: &str| fs::read_dir(daemon.path(at)).into_iter().flatten().flatten();
    let all = entries("releases").chain(entries("state/backups"));
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn what_is_made_is_said_as_ever_and_goes_on_where_nobody_waits() {
    let daemon = daemon(3);
    let made = daemon.ctl(["release", "create", "-o", "json"]).exits(0).json();
    assert_eq!(made["release"]["id"], "r-1", "{made:#}");
    assert_eq!(daemon.ctl(["release", "create", "--force", "-o", "name"]).exits(0).stdout, "r-2\n");
    let made = daemon.ctl(["backup", "create", "--note", "a note", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&made["manifest"]["note"], &made["verified"]["problems"]),
        (&"a note".into(), &serde_json::json!([]))
    );
    let id = daemon.ctl(["backup", "create", "-o", "name"]).exits(0).stdout.trim().to_owned();
    assert!(names(&daemon, "backup").contains(&id), "{id}");

    let operation = begins(&daemon, "backup");
    assert_eq!(ends(&daemon, &operation)["state"], "succeeded");
    assert_eq!(names(&daemon, "backup").len(), 3);
    let list = daemon.ctl(["operation", "list", "-o", "json"]).exits(0).json();
    let kinds: Vec<&str> = list["operations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["backup", "backup", "backup", "release", "release"]);

    // Refused: as it always was, with nothing left of it, and a row that says so.
    let twin = daemon.ctl(["release", "create"]).exits(7);
    assert!(twin.stderr.contains("r-2 ships the same") && twin.stderr.contains("--force"), "{twin}");
    daemon.ctl(["release", "create", "--note", "a\nb"]).exits(2);
    daemon.ctl(["backup", "create", "--note", "a\nb"]).exits(2);
    assert_eq!((names(&daemon, "release").len(), halves(&daemon)), (2, vec![]));
    let failed = ["audit", "list", "--action", "releases/create", "--outcome", "failed", "-o", "json"];
    let failed = daemon.ctl(failed).exits(0).json();
    assert!(failed.to_string().contains("ships the same"), "{failed:#}");
    // The request and its effect bear one correlation.
    let rows = daemon.ctl(["audit", "list", "--action", "releases/create", "-o", "json"]).exits(0).json();
    let rows = rows["entries"].as_array().expect("rows").clone();
    let effect = rows.iter().find(|row| row["object"] == "release/r-1").expect("a row of the effect");
    let same: Vec<&Value> = rows.iter().filter(|row| row["correlation"] == effect["correlation"]).collect();
    assert!(same.iter().any(|row| row["outcome"] == "intended"), "{same:#?}");
}

#[test]
fn one_at_a_time_and_called_off_nothing_of_it_is_left() {
    let daemon = daemon(8_000);
    let operation = begins(&daemon, "release");
    let second = daemon.ctl(["release", "create"]).exits(7);
    assert!(second.stderr.contains(&operation), "{second}");
    daemon.ctl(["operation", "cancel", &operation, "--yes"]).exits(0);
    let ended = ends(&daemon, &operation);
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert_eq!((names(&daemon, "release"), halves(&daemon)), (vec![], vec![]));
    // Nothing of it is in the way.
    for number in 0..8_000 {
        fs::remove_file(daemon.path(&format!("code/{number}"))).expect("removed");
    }
    daemon.ctl(["release", "create"]).exits(0);
    daemon.ctl(["release", "verify", "r-1"]).exits(0);
}

#[test]
fn killed_at_any_moment_one_is_made_and_never_two() {
    let mut daemon = daemon(1_000);
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..4_u32 {
        fs::write(daemon.path("code/round"), round.to_string()).expect("written");
        for of in MAKES {
            let before = names(&daemon, of);
            let operation = begins(&daemon, of);
            // The random moment is what is tested: there is nothing to wait for.
            thread::sleep(Duration::from_millis(random.u64(0..400)));
            daemon.kill();
            daemon.launch();
            let ended = ends(&daemon, &operation);
            assert_eq!(ended["state"], "succeeded", "round {round}: {ended:#}");
            let made = ended["steps"][0]["left"][of].as_str().expect("an id").to_owned();
            let after = names(&daemon, of);
            assert_eq!(after.len(), before.len() + 1, "round {round}: {after:?}");
            assert!(after.contains(&made) && !before.contains(&made), "{made}: {after:?}");
            daemon.ctl([of, "verify", &made]).exits(0);
            assert!(eventually(|| halves(&daemon).is_empty()), "{:?}", halves(&daemon));
        }
    }
    daemon.ctl(["audit", "verify"]).exits(0);
}

#[test]
fn what_cannot_be_written_is_said_and_undone() {
    let daemon = daemon(1);
    fs::write(daemon.path("releases"), "in the way").expect("written");
    let refused = daemon.ctl(["release", "create"]);
    assert!(refused.code != 0 && refused.stderr.contains("releases"), "{refused}");
    let list = daemon.ctl(["operation", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["operations"][0]["state"], "unwound", "{list:#}");
    fs::remove_file(daemon.path("releases")).expect("removed");
    daemon.ctl(["release", "create"]).exits(0);
}
