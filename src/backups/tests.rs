//! Backups as a whole, over a store that lives: made, spoilt, tried out, unpacked, swept away.
use super::*;
use crate::{
    config::{Paths, Settings},
    domain::{Act, BackupEntry, BackupId, Event, EventKind, FaultKind},
    errors::Errors,
    resilience::Clock,
    store::{AuditFiles, Store, inspect_copy, verify_audit_files},
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::sync::watch;

pub(super) struct Scene {
    pub home: TempDir,
    pub store: Store,
    pub settings: watch::Sender<Arc<Settings>>,
    pub backups: Backups,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::default();
        settings.daemon.state_dir = Some(home.path().join("state"));
        change(&mut settings);
        let paths = Paths::new(&settings);
        fs::create_dir(&paths.state_dir).expect("made");
        let config = home.path().join("agentd.toml");
        fs::write(&config, "schema = 1\n").expect("written");
        let clock = Clock::system();
        let store =
            Store::open(&paths.database, &paths.backups, &settings.store, clock.clone()).expect("opens");
        for number in 0..20 {
            record(&store, &format!("{number}")).await;
        }
        let errors = Errors::open(&settings.errors, store.clone(), clock.clone());
        let (sender, receiver) = watch::channel(Arc::new(settings));
        let backups = Backups::new(BackupsParts {
            settings: receiver,
            config_file: Some(config),
            paths,
            store: store.clone(),
            clock,
            errors,
            parse: Arc::new(|file| {
                let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
                if text.contains("schema = 1") { Ok(()) } else { Err("no schema".into()) }
            }),
            references: None,
        });
        Self { home, store, settings: sender, backups }
    }

    fn shelf(&self) -> PathBuf {
        self.home.path().join("state/backups")
    }

    pub async fn made(&self) -> BackupEntry {
        self.backups.create("user:0".into(), "a note".into(), quiet()).await.expect("made")
    }

    async fn problems(&self, id: &BackupId) -> Vec<String> {
        self.backups.verify(id.clone(), "user:0".into(), quiet()).await.expect("verified").problems
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.shelf()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

pub(super) fn quiet() -> Tell {
    Arc::new(|_| {})
}

fn act() -> Act {
    Act::of_daemon(0, "tests", "backups/drill")
}

async fn record(store: &Store, text: &str) {
    let event =
        Event { seq: 0, at: store.now(), kind: EventKind::AgentReady, instance: None, text: text.into() };
    store.record_event(event).await.expect("recorded");
}

#[tokio::test]
async fn one_is_whole_private_verified_and_comes_back_as_it_was() {
    let scene = Scene::new().await;
    let made = scene.made().await;
    assert!(made.is_verified(), "{made:?}");
    let manifest = made.manifest.clone().expect("a manifest");
    let names: Vec<_> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["agentd.db", "audit.key", "audit.anchors", "agentd.toml"]);
    assert!(manifest.trail_whole && manifest.configuration_sound && manifest.not_included.len() >= 3);
    let dir = scene.shelf().join(made.id.as_str());
    assert_eq!(scene.left(), [made.id.as_str()], "something was left beside it");
    for file in fs::read_dir(&dir).expect("read").flatten().map(|file| file.path()).chain([dir.clone()]) {
        let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", file.display());
    }
    record(&scene.store, "since").await;
    let to = scene.home.path().join("restored");
    scene.backups.unpack(made.id.clone(), to.clone(), quiet()).await.expect("unpacked");
    let files = AuditFiles::of(&to);
    assert_eq!(inspect_copy(&files.database).expect("read").content, manifest.content);
    assert!(verify_audit_files(&files).expect("verified").whole);
    assert_eq!(fs::read_to_string(to.join("agentd.toml")).expect("read"), "schema = 1\n");
    let (_, drills) = scene.backups.show(made.id.clone()).await.expect("shown");
    assert!(drills.is_empty());
    // Nothing is overwritten, and nothing is written inside of the state.
    for (wrong, kind) in [
        (to, FaultKind::Conflict),
        (scene.home.path().join("state/x"), FaultKind::Usage),
        ("relative".into(), FaultKind::Usage),
        (scene.home.path().join("no/such/place"), FaultKind::Usage),
    ] {
        let fault =
            scene.backups.unpack(made.id.clone(), wrong.clone(), quiet()).await.expect_err("unpacked");
        assert_eq!(fault.kind, kind, "{}: {fault:?}", wrong.display());
    }
}

#[tokio::test]
async fn whatever_is_done_to_one_is_found_and_it_is_not_handed_out() {
    for locked in [false, true] {
        let scene = Scene::with(|settings| {
            if locked {
                settings.backups.passphrase = Some("env:HOME".into());
            }
        })
        .await;
        let made = scene.made().await;
        let id = &made.id;
        let dir = scene.shelf().join(id.as_str());
        let end = if locked { ".sealed" } else { "" };
        let read = |name: &str| fs::read(dir.join(name)).expect("read");
        let (database, key) = (format!("agentd.db{end}"), format!("audit.key{end}"));
        let whole = read(&database);
        let manifest = String::from_utf8(read("manifest.json")).expect("text");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let hash = made.manifest.as_ref().expect("one").files[0].sha256.to_string();
        let rehashed = manifest.replace(&hash, &"0".repeat(64));
        let renoted = manifest.replace("a note", "b note");
        let rowed = manifest.replacen("\"rows\": 20", "\"rows\": 19", 1);
        assert!(rowed != manifest && rehashed != manifest && renoted != manifest);
        for (what, name, spoilt) in [
            ("cut", &database, Some(whole[..whole.len() / 2].to_vec())),
            ("one byte less", &database, Some(whole[..whole.len() - 1].to_vec())),
            ("flipped", &database, Some(flipped)),
            ("empty", &database, Some(Vec::new())),
            ("missing", &database, None),
            ("another's", &key, Some(whole.clone())),
            ("rehashed", &"manifest.json".to_owned(), Some(rehashed.into_bytes())),
            ("renoted", &"manifest.json".to_owned(), Some(renoted.into_bytes())),
            ("a row less", &"manifest.json".to_owned(), Some(rowed.into_bytes())),
            ("noise", &"manifest.json".to_owned(), Some(b"{}".to_vec())),
            ("no manifest", &"manifest.json".to_owned(), None),
        ] {
            let before = read(name);
            match &spoilt {
                Some(bytes) => fs::write(dir.join(name), bytes).expect("written"),
                None => fs::remove_file(dir.join(name)).expect("removed"),
            }
            let problems = scene.problems(id).await;
            assert!(!problems.is_empty(), "{what} was not found (locked: {locked})");
            let to = scene.home.path().join("restored");
            let fault = scene.backups.unpack(id.clone(), to.clone(), quiet()).await.expect_err(what);
            assert_eq!(fault.kind, FaultKind::Refused, "{what}: {fault:?}");
            assert!(!to.exists() && fs::read_dir(scene.home.path()).expect("read").count() == 2, "{what}");
            let standing = scene.backups.standing().await.expect("read");
            assert!(standing.newest.is_none(), "{what}: it counts as sound");
            fs::write(dir.join(name), before).expect("mended");
        }
        fs::write(dir.join("evil.sh"), "x").expect("written");
        assert!(scene.problems(id).await[0].contains("evil.sh"), "a stranger was not found");
        fs::remove_file(dir.join("evil.sh")).expect("removed");
        assert_eq!(scene.problems(id).await, Vec::<String>::new(), "mended, it is still objected to");
    }
}

#[tokio::test]
async fn an_encrypted_one_holds_nothing_in_the_clear_and_a_wrong_passphrase_says_so() {
    let scene = Scene::with(|settings| settings.backups.passphrase = Some("env:HOME".into())).await;
    record(&scene.store, "a very particular text").await;
    let made = scene.made().await;
    let dir = scene.shelf().join(made.id.as_str());
    for file in fs::read_dir(&dir).expect("read").flatten() {
        let bytes = fs::read(file.path()).expect("read");
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!holds(b"a very particular text") && !holds(b"SQLite format"), "{:?}", file.file_name());
    }
    let drill = scene.backups.drill(None, act(), quiet()).await.expect("tried out");
    assert!(drill.passed(), "{drill:?}");
    for (other, told) in [(Some("env:PATH"), "not the one it was made with"), (None, "none is at hand")] {
        scene.settings.send_modify(|settings| {
            Arc::make_mut(settings).backups.passphrase = other.map(str::to_owned);
        });
        let fault =
            scene.backups.verify(made.id.clone(), "user:0".into(), quiet()).await.expect_err("opened");
        assert!(fault.kind == FaultKind::Config && fault.message.contains(told), "{fault:?}");
        let to = scene.home.path().join("restored");
        scene.backups.unpack(made.id.clone(), to, quiet()).await.expect_err("opened");
    }
    // That nobody had the key says nothing against the backup.
    let (entry, _) = scene.backups.show(made.id).await.expect("shown");
    assert!(entry.is_verified());
}

#[tokio::test]
async fn a_drill_measures_and_leaves_nothing_and_one_of_a_damaged_backup_fails() {
    let scene = Scene::new().await;
    let fault = scene.backups.drill(None, act(), quiet()).await.expect_err("there is none");
    assert_eq!(fault.kind, FaultKind::NotFound);
    let made = scene.made().await;
    let before = scene.store.audit_events(0, 99).await.expect("read").len();
    let drill = scene.backups.drill(None, act(), quiet()).await.expect("tried out");
    assert!(drill.passed() && drill.backup == made.id && drill.rto.0 > Duration::ZERO, "{drill:?}");
    assert_eq!(scene.left(), [made.id.as_str()]);
    assert_eq!(scene.store.audit_events(0, 99).await.expect("read").len(), before + 1);
    let database = scene.shelf().join(made.id.as_str()).join("agentd.db");
    let bytes = fs::read(&database).expect("read");
    fs::write(&database, &bytes[..bytes.len() - 4096]).expect("cut");
    let drill = scene.backups.drill(Some(made.id.clone()), act(), quiet()).await.expect("tried out");
    assert!(drill.problems[0].contains("agentd.db"), "{drill:?}");
    assert_eq!(scene.left(), [made.id.as_str()]);
    let (_, drills) = scene.backups.show(made.id.clone()).await.expect("shown");
    assert_eq!(drills.iter().map(crate::domain::Drill::passed).collect::<Vec<_>>(), [false, true]);
    assert_eq!(scene.backups.standing().await.expect("read").last_drill, Some(drill));
}

#[tokio::test]
async fn what_is_unfinished_is_never_listed_and_goes_at_the_next_start() {
    let scene = Scene::new().await;
    let made = scene.made().await;
    let gone = format!(".bk-20261121T152230Z-1.{}.gone", scene.store.fleet_id());
    for left in [".bk-20261121T152230Z-1.part", ".bk-abc.part", &gone] {
        fs::create_dir(scene.shelf().join(left)).expect("made");
        fs::write(scene.shelf().join(left).join("agentd.db"), "half").expect("written");
    }
    fs::write(scene.shelf().join("agentd-v4-20260101T000000.000000Z.db"), "x").expect("written");
    assert_eq!(scene.backups.list().await.expect("listed").len(), 1);
    scene.backups.sweep().await;
    let mut left = scene.left();
    left.sort();
    assert_eq!(left, ["agentd-v4-20260101T000000.000000Z.db", made.id.as_str()]);
    // On a shelf that is shared, another fleet's is another's.
    let shared = scene.home.path().join("shared");
    let ours = format!(".bk-20261121T152230Z-1.{}.part", scene.store.fleet_id());
    for left in [ours.as_str(), ".bk-20261121T152230Z-1.0123.part"] {
        fs::create_dir_all(shared.join(left)).expect("made");
    }
    scene.settings.send_modify(|settings| Arc::make_mut(settings).backups.dir = Some(shared.clone()));
    scene.backups.sweep().await;
    assert!(!shared.join(&ours).exists() && shared.join(".bk-20261121T152230Z-1.0123.part").exists());
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused_and_a_dump_that_fails_leaves_nothing() {
    let scene = Scene::new().await;
    let change = |change: &dyn Fn(&mut Settings)| {
        scene.settings.send_modify(|settings| change(Arc::make_mut(settings)));
    };
    let file = scene.home.path().join("file");
    fs::write(&file, "").expect("written");
    for wrong in [file.join("x"), PathBuf::from("/proc/x")] {
        change(&|settings| settings.backups.dir = Some(wrong.clone()));
        let fault = scene.backups.create("user:0".into(), String::new(), quiet()).await.expect_err("made");
        assert!(fault.hint.is_some() && fault.message.contains(&wrong.display().to_string()), "{fault:?}");
    }
    change(&|settings| {
        settings.backups.dir = None;
        settings.backups.databases = vec![
            serde_json::from_value(serde_json::json!({
                "name": "orders", "kind": "command", "dump": ["sh", "-c", "echo half; exit 3"],
            }))
            .expect("a database"),
        ];
    });
    let fault = scene.backups.create("user:0".into(), String::new(), quiet()).await.expect_err("made");
    assert!(fault.message.contains("orders") && fault.message.contains("exit status: 3"), "{fault:?}");
    assert_eq!(scene.left(), Vec::<String>::new(), "a part was left");
    // Called off: by the end of the daemon.
    change(&|settings| settings.backups.databases.clear());
    scene.backups.close();
    let fault = scene.backups.create("user:0".into(), String::new(), quiet()).await.expect_err("made");
    assert!(fault.message.contains("called off"), "{fault:?}");
    assert_eq!(scene.left(), Vec::<String>::new(), "a part was left");
}

#[tokio::test]
async fn a_configuration_that_is_broken_on_disk_does_not_keep_the_state_from_being_saved() {
    let scene = Scene::new().await;
    fs::write(scene.home.path().join("agentd.toml"), "broken").expect("written");
    let made = scene.made().await;
    assert!(made.is_verified() && !made.manifest.expect("one").configuration_sound);
}

#[tokio::test]
async fn nothing_is_unpacked_where_somebody_else_could_put_another_place_under_it() {
    let scene = Scene::new().await;
    let made = scene.made().await;
    let open = scene.home.path().join("open");
    fs::create_dir(&open).expect("made");
    for (mode, refused) in [(0o777, true), (0o1777, false), (0o755, false)] {
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).expect("changed");
        let to = open.join(format!("{mode:o}"));
        let unpacked = scene.backups.unpack(made.id.clone(), to.clone(), quiet()).await;
        assert_eq!(unpacked.is_err(), refused, "{mode:o}: {unpacked:?}");
        assert_eq!(to.exists(), !refused, "{mode:o}");
    }
}
