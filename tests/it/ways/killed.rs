//! kill -9 before and after every step of each way back: it goes on and ends verified on one release, with one row in the
//! audit trail for each end, and nothing done outside twice under two keys. `AGENTCTL_TEST_KILLS` says how many times over.
use super::{
    GOOD,
    database::{SHOP, backup, shop, shop_keys},
    deploys, fleet, release, runs, up,
};
use crate::support::{Daemon, eventually, state};
use std::fs;

fn times() -> usize {
    std::env::var("AGENTCTL_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Begins it, kills agentd once the journal has this entry, starts it again, and waits for the end.
fn killed_at(daemon: &mut Daemon, what: &str, step: &str, args: &[&str]) -> String {
    let run = ["rollback", "run", "--yes", "--detach", "--reason", "a test", "-o", "json"];
    let begun = daemon.ctl([&run[..], args].concat()).exits(0).json();
    let id = begun["operation"].as_str().expect("an operation").to_owned();
    let journal = daemon.path("state/operations").join(format!("{id}.jsonl"));
    let marks = (format!("\"{what}\""), format!("\"{step}\""));
    let seen = eventually(|| {
        let text = fs::read_to_string(&journal).unwrap_or_default();
        text.lines().any(|line| line.contains(&marks.0) && line.contains(&marks.1))
    });
    assert!(seen, "{what} {step} was not written: {}", fs::read_to_string(&journal).unwrap_or_default());
    daemon.kill();
    daemon.launch();
    let ended = daemon.ctl(["operation", "show", &id, "--follow", "-o", "json"]).exits(0).json();
    assert_eq!(ended["state"], "succeeded", "after {what} {step}: {ended:#}");
    ends_once(daemon, &id);
    id
}

/// The trail says once how it ended, whoever was there; and verifies.
fn ends_once(daemon: &Daemon, id: &str) {
    let ends = || {
        let rows = daemon.ctl(["audit", "list", "--action", "ways/begin", "-o", "json"]).exits(0).json();
        let rows = rows["entries"].as_array().expect("rows").clone();
        let said = format!("{id} succeeded");
        rows.iter().filter(|row| row["reason"].as_str().is_some_and(|why| why.starts_with(&said))).count()
    };
    assert!(eventually(|| ends() > 0), "the trail does not say how {id} ended");
    assert_eq!(ends(), 1, "{id} ended more than once");
    daemon.ctl(["audit", "verify"]).exits(0);
}

fn moments<'a>(steps: &'a [&'a str]) -> impl Iterator<Item = (&'static str, &'a str)> {
    let once = steps.iter().flat_map(|step| [("intended", *step), ("done", *step)]);
    let all: Vec<_> = once.collect();
    std::iter::repeat_n(all, times()).flatten()
}

#[test]
fn in_full_it_ends_verified_on_one_release() {
    let mut daemon = fleet("");
    release(&daemon, "r-2", GOOD);
    deploys(&daemon, "r-2").exits(0);
    let steps = ["target", "backup", "off", "quiescent", "switch", "on", "verify", "record"];
    for (index, (what, step)) in moments(&steps).enumerate() {
        // There and back in turns.
        let to = if index % 2 == 0 { "r-1" } else { "r-2" };
        killed_at(&mut daemon, what, step, &["--to", to]);
        up(&daemon);
        assert_eq!(runs(&daemon), to, "after {what} {step}");
        assert_eq!(state(&daemon, "billing"), "ready");
    }
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}

#[test]
fn immediate_it_ends_off_with_nothing_alive() {
    let mut daemon = fleet("");
    for (what, step) in moments(&["off", "quiescent"]) {
        killed_at(&mut daemon, what, step, &["--mode", "immediate"]);
        assert_eq!(daemon.strays(), Vec::<i32>::new(), "after {what} {step}");
        assert_eq!(daemon.ctl(["agent", "start", "orders"]).code, 6);
        daemon.ctl(["system", "on"]).exits(0);
        up(&daemon);
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn of_the_database_it_ends_as_the_backup_has_it() {
    let mut daemon = fleet(SHOP);
    shop(&daemon, "then");
    let wanted = backup(&daemon);
    let steps =
        ["target", "backup", "off", "quiescent", "restore-external", "restore", "on", "verify", "record"];
    for (what, step) in moments(&steps) {
        shop(&daemon, "now");
        fs::remove_file(daemon.path("keys")).ok();
        let id = killed_at(&mut daemon, what, step, &["--mode", "database", "--backup", &wanted]);
        up(&daemon);
        assert_eq!(runs(&daemon), "r-1", "after {what} {step}");
        assert_eq!(fs::read_to_string(daemon.path("shop")).expect("read"), "then", "after {what} {step}");
        // As often as it took, and always under the same key: whoever is asked can know that it is the same.
        let keys = shop_keys(&daemon);
        let one = format!("{id}/restore-external/shop");
        assert!(!keys.is_empty() && keys.iter().all(|key| *key == one), "after {what} {step}: {keys:?}");
        let rows = daemon.ctl(["audit", "list", "--action", "database", "-o", "json"]).exits(0).json();
        let rows = rows["entries"].as_array().expect("rows").clone();
        let from = format!("operation {id}");
        assert_eq!(
            rows.iter().filter(|row| row["from"] == from.as_str()).count(),
            1,
            "{what} {step}: {rows:#?}"
        );
        let gone = || !daemon.path("state/restore").exists() && !daemon.path("state/restore.json").exists();
        assert!(eventually(gone), "what was live before is kept for ever");
    }
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(daemon.strays(), Vec::<i32>::new());
}
