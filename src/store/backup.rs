//! A consistent copy of the file while it is open, made before anything rewrites it.
//! A copy counts only when it is whole and on the disk: written aside, synced, then renamed into place.
use super::{StoreError, StoreErrorKind, error::Result, open::private_file};
use jiff::Timestamp;
use rusqlite::{Connection, backup::Backup};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// However often a migration fails and is tried again, its copies do not fill the disk.
const MOST_COPIES: usize = 16;

/// Copies the whole file to `backups/agentd-v<version>-<time>.db`, mode 0600. Returns the copy's path.
pub(super) fn before_migration(
    connection: &Connection,
    backups: &Path,
    version: i64,
    now: Timestamp,
) -> Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%S.%6fZ");
    let kept = backups.join(format!("agentd-v{version}-{stamp}.db"));
    copy(connection, backups, &kept).map_err(|failure| {
        StoreError::new(
            StoreErrorKind::Failed,
            format!("cannot copy the database to `{}` before changing it: {failure}", kept.display()),
        )
        .hint("make room for a copy there and let the user of agentd write to it; nothing was changed")
    })?;
    keep_newest(backups, MOST_COPIES);
    Ok(kept)
}

/// Deletes all but the newest `keep` copies; returns how many went. What cannot be deleted stays for the next time.
pub(super) fn keep_newest(backups: &Path, keep: usize) -> u64 {
    let copies = oldest_first(backups);
    let old = copies.len().saturating_sub(keep);
    copies[..old].iter().filter(|path| fs::remove_file(path).is_ok()).map(|_| 1).sum()
}

/// The copies that there are.
pub(super) fn oldest_first(backups: &Path) -> Vec<PathBuf> {
    let mut copies: Vec<(String, PathBuf)> = fs::read_dir(backups)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // The time after the version: "v9-" sorts after "v10-", a time does not.
            let taken = name.strip_prefix("agentd-v")?.strip_suffix(".db")?.split_once('-')?.1.to_owned();
            Some((taken, entry.path()))
        })
        .collect();
    copies.sort_unstable();
    copies.into_iter().map(|(_, path)| path).collect()
}

fn copy(connection: &Connection, backups: &Path, kept: &Path) -> std::result::Result<(), String> {
    let said = |error: io::Error| error.to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(backups).map_err(said)?;
    let aside = kept.with_extension("db.part");
    // A part left by a crash in the same microsecond: never whole, so never wanted.
    let _ = fs::remove_file(&aside);
    let file = private_file(&aside).map_err(said)?;
    let copied = (|| {
        let mut target = Connection::open(&aside).map_err(|error| error.to_string())?;
        Backup::new(connection, &mut target)
            .and_then(|backup| backup.run_to_completion(4096, Duration::ZERO, None))
            .map_err(|error| error.to_string())?;
        target.close().map_err(|(_, error)| error.to_string())?;
        file.sync_all().map_err(said)?;
        fs::rename(&aside, kept).map_err(said)?;
        File::open(backups).and_then(|directory| directory.sync_all()).map_err(said)
    })();
    if copied.is_err() {
        let _ = fs::remove_file(&aside);
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_is_whole_private_and_the_oldest_go_first() {
        let home = tempfile::tempdir().expect("a directory");
        let backups = home.path().join("backups");
        let source = Connection::open_in_memory().expect("a database");
        source.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (42)").expect("a row");
        let at = |second| Timestamp::from_second(second).expect("a time");
        let paths: Vec<PathBuf> = [(9, 1_000), (10, 2_000), (10, 3_000)]
            .map(|(version, second)| {
                before_migration(&source, &backups, version, at(second)).expect("a copy")
            })
            .into();
        let mode = fs::metadata(&paths[2]).expect("the copy").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let copy = Connection::open(&paths[2]).expect("opens");
        assert_eq!(copy.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0)), Ok(42));

        assert_eq!(keep_newest(&backups, 2), 1);
        assert!(
            !paths[0].exists() && paths[1].exists() && paths[2].exists(),
            "the oldest was not the one to go"
        );
    }

    #[test]
    fn a_copy_that_cannot_be_made_says_where_and_leaves_no_part() {
        let home = tempfile::tempdir().expect("a directory");
        let blocked = home.path().join("backups");
        fs::write(&blocked, "a file where the directory should be").expect("written");
        let source = Connection::open_in_memory().expect("a database");
        let error = before_migration(&source, &blocked, 1, Timestamp::UNIX_EPOCH).expect_err("refused");
        assert!(error.message.contains("backups/agentd-v1-") && error.hint.is_some(), "{error:?}");
    }
}
