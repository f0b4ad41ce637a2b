//! Releases in a directory of their own: what is taken in, what is refused and leaves nothing, what comes back after a
//! crash or a lost database, and what goes.
use super::{
    Creation, Fresh, ReleaseEntry, Releases, ReleasesParts,
    copy::{check_room, copy},
    tree::{Bounds, Look, Modes, trouble, walk},
};
use crate::{
    agents::{Supervisor, SupervisorParts},
    config::{Paths, Settings, StoreSettings},
    domain::{Caller, Fault, FaultKind, Identity, Principal, ReleaseId, ReleaseState, Role},
    errors::Errors,
    resilience::Clock,
    store::{Store, act},
};
use serde_json::json;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::sync::watch;

const WIDE: Bounds = Bounds { entries: 1_000, bytes: 1 << 20 };

pub struct Bench {
    pub releases: Releases,
    store: Store,
    home: TempDir,
}

pub fn caller() -> Caller {
    Caller::by_socket(Identity { uid: 1000, gid: 1000, pid: None }, Role::Operator, None)
}

fn settings(home: &Path) -> Settings {
    let releases = json!({ "dir": home.join("releases"), "keep": 2, "max_files": 100, "max_size": "64KiB" });
    let agents = json!([
        { "name": "orders", "kind": "process", "artifact": home.join("code"),
          "options": { "command": ["{artifact}/run"] } },
        { "name": "plain", "kind": "process", "options": { "command": ["x"] } },
    ]);
    let mut settings: Settings =
        serde_json::from_value(json!({ "agent": agents, "releases": releases })).expect("settings");
    settings.daemon.state_dir = Some(home.join("state"));
    settings
}

impl Bench {
    pub async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(home.path().join("code/sub")).expect("made");
        fs::write(home.path().join("code/run"), "#!/bin/sh\n").expect("written");
        fs::set_permissions(home.path().join("code/run"), Permissions::from_mode(0o755)).expect("a mode");
        fs::write(home.path().join("code/sub/data"), "1").expect("written");
        symlink("sub/data", home.path().join("code/link")).expect("linked");
        fs::write(home.path().join("agentd.toml"), "schema = 1\n").expect("written");
        Self::over(home, "agentd.db").await
    }

    async fn over(home: TempDir, database: &str) -> Self {
        let clock = Clock::system();
        let (path, backups) = (home.path().join(database), home.path().join("backups"));
        let store = Store::open(&path, &backups, &StoreSettings::default(), clock.clone()).expect("a store");
        let all = settings(home.path());
        let paths = Paths::new(&all);
        let errors = Errors::open(&all.errors, store.clone(), clock.clone());
        let nobody = Settings { agents: Vec::new(), ..all.clone() };
        let supervisor = Supervisor::launch(SupervisorParts {
            settings: Arc::new(nobody),
            paths: paths.clone(),
            store: store.clone(),
            clock: clock.clone(),
            errors,
        });
        let (all, supervisor) = (Arc::new(all), supervisor.await.expect("a supervisor"));
        let fresh = Arc::clone(&all);
        let releases = Releases::new(ReleasesParts {
            settings: watch::channel(all).1,
            config_file: Some(home.path().join("agentd.toml")),
            config_digest: watch::channel("abc".to_owned()).1,
            reread: Arc::new(move || Ok(Fresh { settings: Arc::clone(&fresh), digest: "abc".into() })),
            paths,
            store: store.clone(),
            supervisor,
            clock,
        });
        Self { releases, store, home }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub async fn create(&self) -> Result<ReleaseEntry, Fault> {
        let creation = Creation { note: "n".into(), ..Creation::default() };
        self.releases.create(creation, caller().principal, act(), |_| {}).await
    }

    /// Another one with other content.
    pub async fn next(&self) -> ReleaseId {
        fs::write(self.path("code/sub/data"), fastrand::u64(..).to_string()).expect("written");
        self.create().await.expect("made").standing.release.id
    }

    pub async fn bring(&self, id: ReleaseId, to: ReleaseState) {
        let by = Principal::user(1000);
        self.releases.moved(act(), id, to, by, "test".into()).await.expect("moved");
    }

    pub async fn ids(&self) -> Vec<u32> {
        let (all, _) = self.releases.list().await.expect("listed");
        all.iter().map(|entry| entry.standing.release.id.0).collect()
    }

    pub fn on_disk(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("releases")).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

pub const ONE: ReleaseId = ReleaseId(1);

#[tokio::test]
async fn a_release_is_a_copy_that_nobody_may_write_and_that_is_found_to_be_whole() {
    let bench = Bench::new().await;
    let made = bench.create().await.expect("made");
    let release = &made.standing.release;
    assert_eq!(
        (release.id, made.standing.state, made.current, made.missing),
        (ONE, ReleaseState::Candidate, false, false)
    );
    let artifact = release.agents[0].artifact.as_ref().expect("an artifact");
    assert_eq!((artifact.files, release.agents[1].artifact.as_ref()), (2, None));
    let at = bench.path("releases/r-1/orders");
    for (path, mode) in [("run", 0o555), ("sub", 0o555), ("sub/data", 0o444)] {
        let about = fs::symlink_metadata(at.join(path)).expect("copied");
        assert_eq!((about.mode() & 0o7777, about.is_dir() || about.nlink() == 1), (mode, true), "{path}");
    }
    assert_eq!(fs::read_link(at.join("link")).expect("a link"), Path::new("sub/data"));
    for private in ["release.json", "agentd.toml"] {
        let about = fs::metadata(bench.path("releases/r-1").join(private)).expect("written");
        assert_eq!(about.mode() & 0o777, 0o600, "{private}");
    }
    let verified = bench.releases.verify(ONE).await.expect("verified");
    assert!(verified.sound && verified.files == 2, "{verified:?}");
    assert_eq!(bench.on_disk(), ["r-1"]);
}

#[tokio::test]
async fn the_same_again_is_refused_by_name_and_recorded_only_on_purpose() {
    let bench = Bench::new().await;
    let first = bench.create().await.expect("made");
    let fault = bench.create().await.expect_err("made twice");
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.message.contains("r-1 ships the same"), "{fault}");
    let again = Creation { force: true, ..Creation::default() };
    let again = bench.releases.create(again, caller().principal, act(), |_| {}).await.expect("made");
    assert_eq!(again.standing.release.content, first.standing.release.content);
    assert!(again.standing.release.id > first.standing.release.id);
    let preview = bench.releases.preview(Creation::default(), &caller()).await.expect("seen");
    assert_eq!(preview.same_as, Some(again.standing.release.id));
    // A mode alone makes another release.
    fs::set_permissions(bench.path("code/sub/data"), Permissions::from_mode(0o744)).expect("a mode");
    let other = bench.create().await.expect("made");
    assert_ne!(other.standing.release.content, first.standing.release.content);
}

#[tokio::test]
async fn what_must_not_be_in_a_release_is_refused_with_its_path_and_leaves_nothing() {
    let bench = Bench::new().await;
    let code = bench.path("code");
    let bad = code.join("bad\u{1b}[2J");
    let make = |how: &str| match how {
        "pipe" => rustix::fs::mkfifoat(rustix::fs::CWD, &bad, rustix::fs::Mode::RUSR).expect("made"),
        "socket" => drop(UnixListener::bind(&bad).expect("bound")),
        "setuid" => {
            fs::write(&bad, "x").expect("written");
            fs::set_permissions(&bad, Permissions::from_mode(0o4755)).expect("a mode");
        }
        "large" => fs::write(&bad, vec![0; 70 << 10]).expect("written"),
        "many" => {
            fs::create_dir(&bad).expect("made");
            (0..110).for_each(|n| fs::write(bad.join(n.to_string()), "").expect("written"));
        }
        "deep" => fs::create_dir_all(bad.join("d/".repeat(70))).expect("made"),
        target => symlink(target, &bad).expect("linked"),
    };
    for (how, why) in [
        ("pipe", "it is a pipe"),
        ("socket", "it is a socket"),
        ("setuid", "setuid"),
        ("large", "larger than"),
        ("many", "more than 100 files"),
        ("deep", "directories deep"),
        ("/etc/passwd", "leaves the artifact"),
        ("../agentd.toml", "leaves the artifact"),
        ("bad\u{1b}[2J", "leads in a circle"),
    ] {
        make(how);
        let fault = bench.create().await.expect_err(how);
        assert!(fault.message.contains(why) && fault.message.contains("orders"), "{how}: {fault}");
        assert!(!fault.message.contains('\u{1b}'), "{how}: {fault:?}");
        assert_eq!(bench.on_disk(), Vec::<String>::new(), "{how}");
        if fs::symlink_metadata(&bad).expect("there").is_dir() {
            fs::remove_dir_all(&bad).expect("removed");
        } else {
            fs::remove_file(&bad).expect("removed");
        }
    }
    bench.create().await.expect("without any of it");
}

#[tokio::test]
async fn an_artifact_that_is_missing_or_no_directory_and_a_place_that_is_none_are_told() {
    let bench = Bench::new().await;
    let (code, aside) = (bench.path("code"), bench.path("aside"));
    fs::rename(&code, &aside).expect("moved");
    let fault = bench.create().await.expect_err("made of nothing");
    assert!(fault.kind == FaultKind::NotFound && fault.message.contains("code"), "{fault}");
    fs::write(&code, "a file").expect("written");
    let fault = bench.create().await.expect_err("made of a file");
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("directory")), "{fault:?}");
    fs::remove_file(&code).expect("removed");
    fs::rename(&aside, &code).expect("moved");
    fs::write(bench.path("releases"), "in the way").expect("written");
    let fault = bench.create().await.expect_err("made in a file");
    assert!(fault.message.contains("releases"), "{fault}");
    fs::remove_file(bench.path("releases")).expect("removed");
    let note = Creation { note: "two\nlines".into(), ..Creation::default() };
    let fault = bench.releases.create(note, caller().principal, act(), |_| {}).await.expect_err("noted");
    assert_eq!(fault.kind, FaultKind::Usage);
    assert_eq!(bench.ids().await, Vec::<u32>::new());
    bench.create().await.expect("made");
}

#[tokio::test]
async fn what_changes_between_the_first_look_and_the_copy_is_refused() {
    let bench = Bench::new().await;
    let (code, name) = (bench.path("code"), "orders".parse().expect("a name"));
    let seen = walk(&code, WIDE, Modes::Frozen, &mut Look).expect("seen");
    copy(&name, &code, &seen, WIDE, &bench.path("one"), &|_| true).expect("copied");
    fs::write(code.join("sub/data"), "2").expect("written");
    let fault = copy(&name, &code, &seen, WIDE, &bench.path("two"), &|_| true).expect_err("copied");
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.message.contains("sub/data has other content"), "{fault}");
}

#[tokio::test]
async fn a_full_disk_is_told_before_and_when_it_happens() {
    let bench = Bench::new().await;
    assert!(check_room(bench.home.path(), 1).is_ok());
    let fault = check_room(bench.home.path(), u64::MAX).expect_err("fits");
    assert!(fault.kind == FaultKind::Unavailable && fault.message.contains("room for"), "{fault}");
    let full = trouble("copy", Path::new("/x"), &io::ErrorKind::StorageFull.into());
    assert!(full.kind == FaultKind::Unavailable && full.hint.is_some_and(|hint| hint.contains("df -h")));
}

#[tokio::test]
async fn every_change_of_a_recorded_release_is_named() {
    let bench = Bench::new().await;
    bench.create().await.expect("made");
    let at = bench.path("releases/r-1");
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a mode");
    let said = || async { bench.releases.verify(ONE).await.expect("verified").problems.join("\n") };
    assert_eq!(said().await, "");
    for path in [at.join("orders"), at.join("orders/sub")] {
        open(&path);
    }
    let mode_of_directory = said().await;
    assert!(mode_of_directory.contains("orders/sub has another mode"), "{mode_of_directory}");
    open(&at.join("orders/sub/data"));
    fs::write(at.join("orders/sub/data"), "evil").expect("written");
    fs::write(at.join("orders/new.py"), "evil").expect("written");
    fs::remove_file(at.join("orders/run")).expect("removed");
    fs::write(at.join("agentd.toml"), "schema = 2\n").expect("written");
    let text = fs::read_to_string(at.join("release.json")).expect("read");
    fs::write(at.join("release.json"), text.replace("\"n\"", "\"m\"")).expect("written");
    let all = said().await;
    for what in [
        "orders/sub/data has other content",
        "orders/new.py is new",
        "orders/run is gone",
        "agentd.toml: it has been changed",
        "release.json is not the one that was written",
    ] {
        assert!(all.contains(what), "{what} is not in\n{all}");
    }
    fs::write(at.join("release.json"), "{").expect("written");
    assert!(said().await.contains("cannot read"));
}

#[tokio::test]
async fn a_database_that_was_lost_learns_of_releases_again_and_of_no_forged_one() {
    let bench = Bench::new().await;
    let content = bench.create().await.expect("made").standing.release.content;
    let two = bench.next().await;
    bench.store.close().await;
    let Bench { home, .. } = bench;
    let forged = home.path().join(format!("releases/{two}/orders/sub"));
    fs::set_permissions(&forged, Permissions::from_mode(0o755)).expect("a mode");
    let evil = forged.join("evil");
    fs::write(&evil, "x").expect("written");
    fs::set_permissions(&forged, Permissions::from_mode(0o555)).expect("a mode");
    let again = Bench::over(home, "another.db").await;
    again.releases.recover().await.expect("recovered");
    let (all, strays) = again.releases.list().await.expect("listed");
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].standing.release.content, all[0].standing.state), (content, ReleaseState::Candidate));
    assert!(all[0].standing.moves[0].why.contains("taken in again"), "{:?}", all[0].standing.moves);
    assert!(
        strays.len() == 1 && strays[0].contains("r-2") && strays[0].contains("evil is new"),
        "{strays:?}"
    );
    // Its number is not given to another.
    assert_eq!(again.next().await, ReleaseId(3));
    // And the other way round: in the table, and not on disk.
    fs::rename(again.path("releases/r-1"), again.path("away")).expect("moved");
    let entry = again.releases.get(ONE).await.expect("known");
    assert!(entry.missing && again.releases.switch_to(ONE).await.is_err());
    assert!(!again.releases.verify(ONE).await.expect("looked").sound);
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_swept_or_put_back() {
    let bench = Bench::new().await;
    bench.create().await.expect("made");
    let releases = bench.path("releases");
    fs::create_dir_all(releases.join(".making-0123/orders")).expect("made");
    fs::set_permissions(releases.join(".making-0123/orders"), Permissions::from_mode(0o500)).expect("a mode");
    fs::rename(releases.join("r-1"), releases.join(".gone-r-1")).expect("set aside");
    fs::create_dir_all(releases.join(".gone-r-9")).expect("made");
    fs::create_dir_all(releases.join("somebody-elses")).expect("made");
    bench.releases.recover().await.expect("recovered");
    assert_eq!(bench.on_disk(), ["r-1", "somebody-elses"]);
    assert!(bench.releases.verify(ONE).await.expect("verified").sound);
}

#[tokio::test]
async fn of_two_creations_at_once_one_is_refused_and_what_cannot_be_recorded_leaves_nothing() {
    let bench = Bench::new().await;
    let (one, two) = tokio::join!(bench.create(), bench.create());
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let refused = one.err().or(two.err()).expect("one was");
    assert!(refused.message.contains("under way"), "{refused}");
    assert_eq!(bench.on_disk(), ["r-1"]);
    // The number is taken while it is being made.
    let held = bench.store.release(ONE).await.expect("read").expect("kept").release;
    let other = crate::domain::Release { id: ReleaseId(2), ..held };
    fs::write(bench.path("code/sub/data"), "2").expect("written");
    let creation = Creation::default();
    let store = bench.store.clone();
    let early = std::sync::Once::new();
    let runtime = tokio::runtime::Handle::current();
    let progress = move |_| {
        early.call_once(|| {
            let add = store.add_release(act(), other.clone(), other.content, String::new());
            runtime.block_on(add).expect("added");
        });
    };
    let fault = bench.releases.create(creation, caller().principal, act(), progress).await.expect_err("made");
    assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
    assert_eq!(bench.on_disk(), ["r-1"]);
}
