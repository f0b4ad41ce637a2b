//! Back to a backup of the database, in place: what ended stays ended, the databases of the applications go with it, and
//! what does not hold is undone; refused before anything stops where it cannot be done.
use super::{fleet, pid, runs, up};
use crate::support::{Answer, Daemon, eventually};
use serde_json::Value;
use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::PathBuf,
    process::Command,
};

/// A database that is a file, and programs that tell under which key they put it back.
pub const SHOP: &str = r#"
[[backups.database]]
name = "shop"
kind = "command"
dump = ["/bin/cat", "{home}/shop"]
restore = ["/bin/sh", "-c", "cat > {home}/shop; echo $AGENTD_OPERATION_KEY >> {home}/keys"]
"#;

pub fn shop(daemon: &Daemon, holds: &str) {
    fs::write(daemon.path("shop"), holds).expect("written");
}

/// Under which it was put back, in order.
pub fn shop_keys(daemon: &Daemon) -> Vec<String> {
    let text = fs::read_to_string(daemon.path("keys")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A new backup: its id.
pub fn backup(daemon: &Daemon) -> String {
    let made = daemon.ctl(["backup", "create", "-o", "json"]).exits(0).json();
    made["id"].as_str().expect("an id").to_owned()
}

fn back_to(daemon: &Daemon, backup: &str) -> Answer {
    daemon.ctl(["rollback", "run", "--mode", "database", "--backup", backup, "--yes", "--reason", "a test"])
}

fn plan(daemon: &Daemon, backup: &str) -> Value {
    daemon.ctl(["rollback", "plan", "--mode", "database", "--backup", backup, "-o", "json"]).json()
}

fn key(daemon: &Daemon, of: &str) -> String {
    let made = daemon.ctl(["auth", "key", "create", of, "--role", "service", "-o", "json"]).exits(0).json();
    made["id"].as_str().expect("an id").to_owned()
}

/// Those in force.
fn keys(daemon: &Daemon) -> Vec<String> {
    let list = daemon.ctl(["auth", "key", "list", "-o", "json"]).exits(0).json();
    let all = list["keys"].as_array().expect("keys").clone();
    let in_force = all.iter().filter(|key| key["revoked_at"].is_null());
    in_force.map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
}

fn restores(daemon: &Daemon) -> Vec<String> {
    let rows = daemon.ctl(["audit", "list", "--action", "database", "-o", "json"]).exits(0).json();
    let rows = rows["entries"].as_array().expect("rows").clone();
    rows.iter().map(|row| row["reason"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn it_goes_back_in_place_and_nothing_that_ended_comes_back_to_life() {
    let daemon = fleet(SHOP);
    shop(&daemon, "then");
    let (kept, ended) = (key(&daemon, "service:kept"), key(&daemon, "service:ended"));
    let wanted = backup(&daemon);
    daemon.ctl(["auth", "key", "revoke", &ended, "--yes"]).exits(0);
    let since = key(&daemon, "service:since");
    shop(&daemon, "now");
    let agentd = daemon.pid();

    let unnamed = daemon.ctl(["rollback", "run", "--mode", "database", "--yes", "--reason", "x"]).exits(2);
    assert!(unnamed.stderr.contains(&wanted) && unnamed.stderr.contains("--backup"), "{unnamed}");
    for wrong in [
        &["--mode", "database", "--to", "r-1", "--backup", &wanted][..],
        &["--mode", "full", "--backup", &wanted],
        &["--mode", "database", "--backup", "../x"],
    ] {
        daemon.ctl([&["rollback", "plan"], wrong].concat()).exits(2);
    }
    let planned = plan(&daemon, &wanted);
    assert_eq!(planned["backup"]["databases"][0], "shop", "{planned:#}");
    assert!(planned["lost"].to_string().contains("1 keys"), "{planned:#}");

    let done = back_to(&daemon, &wanted).exits(0);
    // Whoever follows it rides over the new start, and is told of it only where it meets the gap.
    assert!(done.stdout.contains("succeeded"), "{done}");
    up(&daemon);
    assert_eq!((daemon.pid(), runs(&daemon)), (agentd, "r-1".into()));
    assert_eq!(fs::read_to_string(daemon.path("shop")).expect("read"), "then");
    assert_eq!(keys(&daemon), [kept], "{ended} was revoked, and {since} is not known to the backup");
    assert!(
        restores(&daemon)[0].contains("keys ended 1, keys known as revoked 1"),
        "{:?}",
        restores(&daemon)
    );
    daemon.ctl(["audit", "verify"]).exits(0);
    let list = daemon.ctl(["release", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["releases"][0]["state"], "stable", "{list:#}");
}

#[test]
fn what_does_not_come_up_on_it_is_undone_to_the_last_key() {
    let daemon = fleet(SHOP);
    // The code of the release runs on what the shop holds now, and not on what it held then.
    shop(&daemon, "then");
    let wanted = backup(&daemon);
    shop(&daemon, "now");
    let script = format!(
        "grep -q now {} || exit 3\nexec \"$1\" demo-agent stdio --name orders\n",
        daemon.path("shop").display()
    );
    fs::set_permissions(daemon.path("shop"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("open");
    super::release(&daemon, "r-2", &script);
    super::deploys(&daemon, "r-2").exits(0);
    let since = key(&daemon, "service:since");
    let failed = back_to(&daemon, &wanted).exits(1);
    assert!(failed.stdout.contains("unwound"), "{failed}");
    up(&daemon);
    assert_eq!((runs(&daemon), keys(&daemon)), ("r-2".into(), vec![since]));
    assert_eq!(fs::read_to_string(daemon.path("shop")).expect("read"), "now");
    let put_back = shop_keys(&daemon);
    assert_eq!(put_back.len(), 2, "{put_back:?}");
    assert!(put_back[1].ends_with("/restore-external/undo/shop"), "{put_back:?}");
    let said = restores(&daemon);
    assert!(said.len() == 2 && said[1].contains("again what it was before"), "{said:?}");
    daemon.ctl(["audit", "verify"]).exits(0);
    assert!(eventually(|| !daemon.path("state/restore").exists()), "it is kept for ever");
}

#[test]
fn what_cannot_be_put_back_is_refused_before_anything_stops() {
    let daemon = fleet("");
    let before = (pid(&daemon, "orders"), pid(&daemon, "billing"));
    let alone = backup(&daemon);
    let (spoilt, gone) = (backup(&daemon), backup(&daemon));

    // A byte of it, behind everybody's back: only reading all of it tells.
    let file = daemon.path("state/backups").join(&spoilt).join("agentd.db");
    let mut open = OpenOptions::new().write(true).open(&file).expect("a backup");
    open.seek(SeekFrom::End(-100)).expect("sought");
    open.write_all(&[0x5a]).expect("written");
    let refused = back_to(&daemon, &spoilt).exits(1);
    assert!(refused.stdout.contains("agentd.db is not as it was made"), "{refused}");
    // Known from then on.
    assert!(back_to(&daemon, &spoilt).exits(6).stderr.contains("not as it was made"));
    assert_eq!(plan(&daemon, &gone)["against"], Value::Array(Vec::new()));
    fs::remove_file(daemon.path("state/backups").join(&gone).join("audit.key")).expect("removed");
    assert!(plan(&daemon, &gone)["against"].to_string().contains("audit.key is missing"));
    daemon.ctl(["backup", "delete", &gone, "--yes"]).exits(0);
    back_to(&daemon, &gone).exits(7);

    daemon.rewrite(&format!("{}{SHOP}", super::MANIFEST));
    daemon.ctl(["config", "reload"]).exits(0);
    let lacking = back_to(&daemon, &alone).exits(6);
    assert!(lacking.stderr.contains("the backup has no dump of it"), "{lacking}");
    shop(&daemon, "then");
    let dumped = backup(&daemon);
    let no_way = SHOP.lines().filter(|line| !line.starts_with("restore")).collect::<Vec<_>>().join("\n");
    daemon.rewrite(&format!("{}{no_way}", super::MANIFEST));
    daemon.ctl(["config", "reload"]).exits(0);
    assert!(back_to(&daemon, &dumped).exits(6).stderr.contains("declares no `restore`"));
    assert_eq!((pid(&daemon, "orders"), pid(&daemon, "billing")), before, "it was stopped for nothing");
}

#[test]
fn what_was_changed_between_two_steps_is_given_up_and_what_was_live_stays_so() {
    let mut daemon = fleet("");
    let wanted = backup(&daemon);
    let since = key(&daemon, "service:since");
    let run = ["rollback", "run", "--mode", "database", "--backup", &wanted, "--yes", "--detach"];
    let begun = daemon.ctl([&run[..], &["--reason", "a test", "-o", "json"]].concat()).exits(0).json();
    let id = begun["operation"].as_str().expect("an operation").to_owned();
    assert!(eventually(|| daemon.path("state/restore.json").exists()), "it was never laid ready");
    daemon.kill();
    let file = daemon.path("state/restore/restored.db");
    let mut open = OpenOptions::new().write(true).open(&file).expect("the restored one");
    open.seek(SeekFrom::End(-100)).expect("sought");
    open.write_all(&[0x5a]).expect("written");
    daemon.launch();
    let ended = daemon.ctl(["operation", "show", &id, "--follow", "-o", "json"]).exits(1).json();
    assert_eq!(ended["state"], "unwound", "{ended:#}");
    assert!(ended["why"]["message"].to_string().contains("was changed after"), "{ended:#}");
    up(&daemon);
    assert_eq!((runs(&daemon), keys(&daemon)), ("r-1".into(), vec![since]));
    assert_eq!(restores(&daemon), Vec::<String>::new());
}

struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Where a small file system can be mounted.
#[test]
fn a_disk_that_fills_up_while_it_is_unpacked_is_said_and_undone() {
    let mut daemon = fleet("");
    let wanted = backup(&daemon);
    let place = daemon.path("state/restore");
    assert_eq!(daemon.stop(), Some(0));
    fs::create_dir_all(&place).expect("made");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&place).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let mount = Mount(place);
    daemon.launch();
    up(&daemon);
    let failed = back_to(&daemon, &wanted);
    drop(mount);
    let failed = failed.exits(1);
    assert!(failed.stdout.contains("unwound") && failed.stdout.contains("No space left"), "{failed}");
    up(&daemon);
    assert_eq!(runs(&daemon), "r-1");
    back_to(&daemon, &wanted).exits(0);
}
