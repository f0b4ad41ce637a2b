//! A copy of the state while it is in use: the database as it stood at one moment, the key of its audit trail and the
//! anchors that hold it. The copy is read in slices from a snapshot of its own, so no write waits for it.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::{self, AuditFiles, verify_audit_files},
    content::content,
    error::Result,
    open::{self, Regime, private_file},
};
use crate::domain::Content;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// Pages in one slice: a megabyte.
const SLICE: i32 = 256;

/// Is told after each slice how many pages are copied, and of how many; says whether to go on.
pub type Sliced = Box<dyn FnMut(u64, u64) -> bool + Send>;

/// What was copied, told by the snapshot itself and not by the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub content: Content,
    /// The audit trail in the copy verifies against the key and the anchors in it.
    pub trail_whole: bool,
}

/// What a copy says when it is looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFacts {
    pub fleet_id: Option<String>,
    pub content: Content,
    /// What SQLite complains of, a line each.
    pub damage: Vec<String>,
    /// Rows that refer to nothing.
    pub dangling: u64,
}

impl Store {
    /// Makes `agentd.db`, `audit.key` and `audit.anchors` in an empty directory; all of it is on the disk when this
    /// returns. What was made of them before it failed is the caller's to remove.
    pub async fn copy_to(&self, dir: PathBuf, told: Sliced) -> Result<Copied> {
        let source = self.path().to_owned();
        spawn_blocking(move || copy(&source, &dir, None, told))
            .await
            .map_err(|_| StoreError::panicked("copy the database"))?
    }

    /// The bytes that a copy will take, about.
    pub fn size(&self) -> u64 {
        self.stats().file_bytes
    }
}

/// Opens a copy that nobody has open and reads it from end to end. Blocks.
pub fn inspect_copy(database: &Path) -> Result<CopyFacts> {
    let wrap = |error: rusqlite::Error| {
        StoreError::from_sqlite(&format!("read the copy {}", database.display()), &error)
    };
    let connection = audit::look(database).map_err(wrap)?;
    let lines = |sql: &str| -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let look = || {
        let damage = lines("PRAGMA integrity_check(20)")?.into_iter().filter(|line| line != "ok").collect();
        let dangling = lines("PRAGMA foreign_key_check")?.len() as u64;
        let fleet_id =
            connection.query_row("SELECT value FROM meta WHERE key = 'fleet_id'", [], |row| row.get(0)).ok();
        Ok(CopyFacts { fleet_id, content: content(&connection)?, damage, dangling })
    };
    look().map_err(wrap)
}

fn copy(source: &Path, dir: &Path, most_pages: Option<u32>, mut told: Sliced) -> Result<Copied> {
    let wrap = |error: rusqlite::Error| failed(&StoreError::from_sqlite("copy the database", &error), dir);
    let files = AuditFiles::of(dir);
    let reader = Connection::open_with_flags(source, open::reader_flags()).map_err(wrap)?;
    open::reader(&reader, Regime::DURABLE)?;
    // From here to COMMIT it sees one moment, whatever is written meanwhile; without it, SQLite would begin anew at each
    // write.
    reader.execute_batch("BEGIN").map_err(wrap)?;
    let head: i64 =
        reader.query_row("SELECT ifnull(max(seq), 0) FROM audit", [], |row| row.get(0)).map_err(wrap)?;
    let file = private_file(&files.database).map_err(|error| failed(&error, dir))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(&files.database, flags).map_err(wrap)?;
    if let Some(most) = most_pages {
        target.pragma_update(None, "max_page_count", most).map_err(wrap)?;
    }
    // Nobody relies on it before it is whole, synced and named.
    target.pragma_update(None, "synchronous", "OFF").map_err(wrap)?;
    {
        let backup = Backup::new(&reader, &mut target).map_err(wrap)?;
        loop {
            let step = backup.step(SLICE).map_err(wrap)?;
            let progress = backup.progress();
            let (left, all) = (progress.remaining.unsigned_abs(), progress.pagecount.unsigned_abs());
            if !told(u64::from(all.saturating_sub(left)), u64::from(all)) {
                return Err(failed(&"it was called off", dir));
            }
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else has the target, and a snapshot waits for no writer.
                _ => return Err(failed(&"SQLite says that the file is locked", dir)),
            }
        }
    }
    let said = content(&reader).map_err(wrap)?;
    reader.execute_batch("COMMIT").map_err(wrap)?;
    // One file, readable where nothing may be written beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0)).map_err(wrap)?;
    target.close().map_err(|(_, error)| wrap(error))?;
    file.sync_all().map_err(|error| failed(&error, dir))?;

    let of = AuditFiles {
        database: source.to_owned(),
        key: crate::config::Paths::audit_key_beside(source),
        anchors: crate::config::Paths::audit_anchors_beside(source),
    };
    let keep = |path: &Path, bytes: &[u8]| -> io::Result<()> {
        let mut file = private_file(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let beside = || {
        keep(&files.key, &fs::read(&of.key)?)?;
        keep(&files.anchors, &audit::anchors_up_to(&of.anchors, head.unsigned_abs())?)?;
        File::open(dir)?.sync_all()
    };
    beside().map_err(|error| failed(&error, dir))?;
    let trail_whole = verify_audit_files(&files).is_ok_and(|verdict| verdict.whole);
    Ok(Copied { content: said, trail_whole })
}

fn failed(why: &dyn std::fmt::Display, dir: &Path) -> StoreError {
    StoreError::new(StoreErrorKind::Failed, format!("cannot copy the state to {}: {why}", dir.display()))
        .hint("make room there (`df -h`) and let the user of agentd write to it; nothing of the copy is kept")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, act, event, waiver};
    use std::{
        os::unix::fs::PermissionsExt,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU32, Ordering},
        },
        time::Duration,
    };

    fn quiet() -> Sliced {
        Box::new(|_, _| true)
    }

    #[tokio::test]
    async fn a_copy_is_private_says_what_its_source_said_and_its_trail_verifies() {
        let store = Scratch::new();
        for number in 0..50 {
            store.record_event(event(format!("{number}"))).await.expect("recorded");
            store.add_waiver(act(), waiver()).await.expect("added");
        }
        let home = tempfile::tempdir().expect("a directory");
        let copied = store.copy_to(home.path().to_owned(), quiet()).await.expect("copied");
        assert!(copied.trail_whole);
        store.add_waiver(act(), waiver()).await.expect("added");
        let files = AuditFiles::of(home.path());
        let facts = inspect_copy(&files.database).expect("read");
        assert_eq!(facts.content.differences(&copied.content), Vec::<String>::new());
        assert_eq!((facts.damage.len(), facts.dangling), (0, 0));
        assert_eq!(facts.fleet_id.as_deref(), Some(store.fleet_id()));
        assert_eq!(facts.content.tables["waivers"].rows, 50);
        for file in [&files.database, &files.key, &files.anchors] {
            let mode = fs::metadata(file).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(fs::read_dir(home.path()).expect("read").count(), 3, "something lies beside them");
    }

    /// Writers that never pause while the copy is made slice by slice: it is of one moment, and they do not wait.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_under_writes_is_of_one_moment_and_holds_no_writer() {
        let store = Scratch::new();
        // Large enough for many slices.
        let long = "x".repeat(20_000);
        for number in 0..300 {
            store.record_event(event(format!("{number} {long}"))).await.expect("recorded");
        }
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(300)));
        let writer = tokio::spawn({
            let (store, stop, written) = (store.store.clone(), Arc::clone(&stop), Arc::clone(&written));
            async move {
                let mut every = tokio::time::interval(Duration::from_millis(20));
                while !stop.load(Ordering::Relaxed) {
                    every.tick().await;
                    let number = written.load(Ordering::Relaxed);
                    store.record_event(event(format!("{number}"))).await.expect("recorded");
                    written.store(number + 1, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..5 {
            let before = written.load(Ordering::Relaxed);
            let home = tempfile::tempdir().expect("a directory");
            let (slices, seen) = (Arc::new(AtomicU32::new(0)), Arc::clone(&written));
            let counted = Arc::clone(&slices);
            // Each slice waits for a write to be acknowledged: so none waits for the copy.
            let told = Box::new(move |_, _| {
                let now = seen.load(Ordering::Relaxed);
                let goes_on = (0..2_000).any(|_| {
                    std::thread::sleep(Duration::from_millis(1));
                    seen.load(Ordering::Relaxed) > now
                });
                assert!(goes_on, "no write was acknowledged while a copy was under way");
                counted.fetch_add(1, Ordering::Relaxed);
                true
            });
            let copied = store.copy_to(home.path().to_owned(), told).await.expect("copied");
            assert!(slices.load(Ordering::Relaxed) >= 3, "it was copied at once");
            let database = AuditFiles::of(home.path()).database;
            let facts = inspect_copy(&database).expect("read");
            assert_eq!(facts.content, copied.content);
            let rows = facts.content.tables["events"].rows;
            let after = written.load(Ordering::Relaxed);
            assert!(u64::from(before) <= rows && rows <= u64::from(before) + 10, "{before} {rows} {after}");
            assert!(u64::from(after) >= rows + 3, "{rows} {after}");
            // What the live file was at that moment, told by the live file of later.
            let later = tempfile::tempdir().expect("a directory");
            store.copy_to(later.path().to_owned(), quiet()).await.expect("copied");
            let later = AuditFiles::of(later.path()).database;
            let undo = Connection::open(&later).expect("opens");
            undo.execute_batch(&format!(
                "DELETE FROM events WHERE seq > {rows}; UPDATE sqlite_sequence SET seq = {rows} WHERE name = 'events'"
            ))
            .expect("undone");
            assert_eq!(content(&undo).expect("read"), copied.content, "it is not what the file was then");
        }
        stop.store(true, Ordering::Relaxed);
        writer.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_full_disk_and_a_place_that_cannot_be_written_are_said() {
        let store = Scratch::new();
        let home = tempfile::tempdir().expect("a directory");
        let error = copy(&store.path(), home.path(), Some(5), quiet()).expect_err("it fitted");
        assert!(error.message.contains("full") && error.hint.is_some(), "{error:?}");
        let off = tempfile::tempdir().expect("a directory");
        let error = copy(&store.path(), off.path(), None, Box::new(|_, _| false)).expect_err("it went on");
        assert!(error.message.contains("called off"), "{error:?}");
        let nowhere = home.path().join("no/such/place");
        let error = copy(&store.path(), &nowhere, None, quiet()).expect_err("copied");
        assert!(error.message.contains("no/such/place"), "{error:?}");
    }
}
