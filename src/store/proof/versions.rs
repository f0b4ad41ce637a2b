//! Versions of the file: the one in force, and what becomes of scratch files that are newer or older. Facts only, no
//! judgement.
use crate::{
    config::StoreSettings,
    resilience::Clock,
    store::{
        Store, StoreError, backup,
        error::Result,
        migrate::{self, MIGRATIONS},
        open::{self, Regime},
    },
};
use rusqlite::{Connection, OpenFlags};
use std::{fs, path::Path};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    /// Up to which version this program knows.
    pub head: u32,
    /// What a file of version head + 1 was refused with; none if it was opened.
    pub newer_refused: Option<String>,
    /// Not a byte of it was changed.
    pub newer_untouched: bool,
    /// What a file of version head - 1 has become.
    pub older_became: i64,
    /// The copies that were made of it first.
    pub copies: Vec<BackupFacts>,
}

/// A copy of the file made before a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// Its file's name.
    pub name: String,
    /// As the file itself says.
    pub version: i64,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Store {
    /// The version of the daemon's own file, as it says itself, and up to which one this program knows.
    pub async fn version(&self) -> Result<(i64, u32)> {
        let what = "read the version of the database";
        self.read(what, |connection| Ok((version(connection)?, head()))).await
    }

    /// The newest copy made before a migration, opened and looked through; none if none was ever made. Blocks.
    pub fn newest_backup(&self) -> Option<BackupFacts> {
        backup::oldest_first(self.backups()).pop().map(|path| look_through(&path))
    }
}

/// Makes a newer and an older scratch file in `home` and opens both as the daemon opens its own. Blocks.
pub fn prove_versions(home: &Path, settings: &StoreSettings, clock: &Clock) -> Result<VersionFacts> {
    prove_under(home, settings, clock, Regime::DURABLE)
}

fn prove_under(home: &Path, settings: &StoreSettings, clock: &Clock, regime: Regime) -> Result<VersionFacts> {
    let (newer, older, backups) = (home.join("newer.db"), home.join("older.db"), home.join("backups"));
    let wrap = |error: rusqlite::Error| StoreError::from_sqlite("make a scratch file", &error);
    make(&newer, MIGRATIONS.len(), &backups, clock)?;
    let connection = open::writer(&newer, Regime::DURABLE)?;
    connection.pragma_update(None, "user_version", head() + 1).map_err(wrap)?;
    connection.close().map_err(|(_, error)| wrap(error))?;
    let before = fs::read(&newer).unwrap_or_default();
    let refused = reopen(&newer, &backups, settings, clock, regime).err();
    let newer_untouched = !before.is_empty() && fs::read(&newer).unwrap_or_default() == before;

    make(&older, MIGRATIONS.len().saturating_sub(1), &backups, clock)?;
    reopen(&older, &backups, settings, clock, regime)?;
    let older_became = read_only(&older).and_then(|file| version(&file)).map_err(wrap)?;
    Ok(VersionFacts {
        head: head(),
        newer_refused: refused.map(|error| error.message),
        newer_untouched,
        older_became,
        copies: copies(&backups),
    })
}

fn head() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// A file that has seen only the first `migrations`.
fn make(path: &Path, migrations: usize, backups: &Path, clock: &Clock) -> Result<()> {
    let mut connection = open::writer(path, Regime::DURABLE)?;
    migrate::to_head(&mut connection, &MIGRATIONS[..migrations], backups, clock.now(), Regime::DURABLE)?;
    connection.close().map_err(|(_, error)| StoreError::from_sqlite("make a scratch file", &error))
}

/// As a daemon does at its start, without what comes after.
fn reopen(
    path: &Path,
    backups: &Path,
    settings: &StoreSettings,
    clock: &Clock,
    regime: Regime,
) -> Result<()> {
    let settings = StoreSettings { readers_min: 1, readers_max: 1, ..settings.clone() };
    Store::open_under(path, backups, &settings, clock.clone(), regime).map(drop)
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Oldest first.
fn copies(backups: &Path) -> Vec<BackupFacts> {
    backup::oldest_first(backups).iter().map(|path| look_through(path)).collect()
}

fn look_through(path: &Path) -> BackupFacts {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let looked = read_only(path).and_then(|file| {
        let said: String = file.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        let fleet: Option<String> =
            file.query_row("SELECT value FROM meta WHERE key = 'fleet_id'", [], |row| row.get(0)).ok();
        Ok((version(&file)?, said, fleet))
    });
    match looked {
        Ok((version, said, fleet)) => {
            let promised =
                name.strip_prefix("agentd-v").and_then(|rest| rest.split_once('-')?.0.parse().ok());
            let problem = match (said.as_str(), fleet) {
                ("ok", Some(_)) if promised == Some(version) => None,
                ("ok", Some(_)) => Some(format!("it is of version {version}")),
                ("ok", None) => Some("it has no fleet's id".into()),
                (damage, _) => Some(damage.to_owned()),
            };
            BackupFacts { name, version, problem }
        }
        Err(error) => BackupFacts { name, version: 0, problem: Some(error.to_string()) },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::scratch::Flaw;

    /// `prove_versions` by a program with a flaw.
    pub fn prove_flawed(
        home: &Path,
        settings: &StoreSettings,
        clock: &Clock,
        flaw: Flaw,
    ) -> Result<VersionFacts> {
        prove_under(home, settings, clock, flaw.regime())
    }

    #[test]
    fn a_newer_file_is_refused_and_an_older_one_is_copied_and_brought_to_head() {
        let prove = |regime| {
            let home = tempfile::tempdir().expect("a directory");
            prove_under(home.path(), &StoreSettings::default(), &Clock::system(), regime).expect("proved")
        };
        let sound = prove(Regime::DURABLE);
        assert!(sound.newer_refused.is_some() && sound.newer_untouched, "{sound:?}");
        assert_eq!((sound.older_became, sound.copies.len()), (i64::from(head()), 1));
        assert_eq!((sound.copies[0].version, &sound.copies[0].problem), (i64::from(head()) - 1, &None));
        assert_eq!(prove(Flaw::TakesNewer.regime()).newer_refused, None);
        assert_eq!(prove(Flaw::NoCopy.regime()).copies, []);
    }

    #[test]
    fn a_copy_that_is_damaged_or_of_another_version_is_found() {
        let home = tempfile::tempdir().expect("a directory");
        let backups = home.path().join("backups");
        let whole = backups.join("agentd-v1-20260101T000000.000000Z.db");
        fs::create_dir(&backups).expect("made");
        make(&whole, 1, &backups, &Clock::system()).expect("a file of version 1");
        fs::copy(&whole, backups.join("agentd-v2-20260102T000000.000000Z.db")).expect("copied");
        fs::write(backups.join("agentd-v1-20260103T000000.000000Z.db"), "noise").expect("written");
        let problems: Vec<bool> = copies(&backups).iter().map(|copy| copy.problem.is_some()).collect();
        assert_eq!(problems, [false, true, true]);
    }
}
