//! Is a file whole? And the ways in which a scratch one is damaged, to see that damage is found. Facts only, no judgement.
use crate::store::{
    Store, StoreError, StoreErrorKind,
    error::Result,
    open::{self, Regime},
};
use std::{fs, path::Path};

/// Up to here every index is held against its table too, which takes some tenths of a second.
const FULL: u64 = 64 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrityFacts {
    /// What `integrity_check` (or, of a large file, `quick_check`) complains of, a line each.
    pub damage: Vec<String>,
    /// Rows that refer to nothing.
    pub dangling: u64,
    /// Indexes were held against their tables too; a file above 64 MiB is too large for that.
    pub full: bool,
}

/// How a scratch file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Noise where pages begin, as a failing disk leaves it.
    Pages,
    /// An index does not hold what its table does. `quick_check` does not see it.
    Index,
    /// A row refers to nothing.
    Dangling,
}

impl Store {
    /// Is the file whole? Reads all of it: milliseconds for a small one, seconds for a large one.
    pub async fn integrity(&self) -> Result<IntegrityFacts> {
        let full = self.stats().file_bytes <= FULL;
        self.read("check the database", move |connection| {
            let lines = |sql: &str| -> rusqlite::Result<Vec<String>> {
                connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
            };
            let check = if full { "PRAGMA integrity_check" } else { "PRAGMA quick_check" };
            let damage = lines(check)?.into_iter().filter(|line| line != "ok").collect();
            let dangling = lines("PRAGMA foreign_key_check")?.len() as u64;
            Ok(IntegrityFacts { damage, dangling, full })
        })
        .await
    }
}

/// Damages a scratch file that nobody has open. It should hold a few hundred events. Blocks.
pub fn damage(path: &Path, how: Damage) -> Result<()> {
    const SPOIL_INDEX: &str = "PRAGMA writable_schema = ON; UPDATE sqlite_schema \
        SET sql = 'CREATE INDEX events_at ON events (kind)' WHERE name = 'events_at'";
    const SPOIL_REFERENCE: &str = "INSERT INTO reports (run, body) VALUES (9007199254740991, '{}')";
    let sql = match how {
        Damage::Pages => return noise(path),
        Damage::Index => SPOIL_INDEX,
        Damage::Dangling => SPOIL_REFERENCE,
    };
    let wrap = |error| StoreError::from_sqlite("damage a scratch file", &error);
    let connection = open::writer(path, Regime { foreign_keys: false, ..Regime::DURABLE })?;
    connection.execute_batch(sql).map_err(wrap)?;
    connection.close().map_err(|(_, error)| wrap(error))
}

fn noise(path: &Path) -> Result<()> {
    const PAGE: usize = 4096;
    let wrap =
        |error| StoreError::new(StoreErrorKind::Failed, format!("cannot damage a scratch file: {error}"));
    let mut bytes = fs::read(path).map_err(wrap)?;
    // Everything but the schema's own page.
    for (at, byte) in bytes.iter_mut().enumerate().skip(PAGE) {
        if at % PAGE < 64 {
            *byte = 0xa5;
        }
    }
    fs::write(path, bytes).map_err(wrap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::StoreSettings, resilience::Clock, store::scratch::Scratch};

    #[tokio::test]
    async fn each_damage_is_found_and_a_whole_file_is_whole() {
        for how in [Damage::Pages, Damage::Index, Damage::Dangling] {
            let store = Scratch::new();
            store.time_writes(400, 64).await.expect("written");
            let whole = IntegrityFacts { full: true, ..IntegrityFacts::default() };
            assert_eq!(store.integrity().await.expect("checked"), whole);
            let (path, home) = (store.path(), store.home);
            store.store.close().await;
            damage(&path, how).expect("damaged");
            match Store::open(&path, home.path(), &StoreSettings::default(), Clock::system()) {
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}"),
                Ok(damaged) => match damaged.integrity().await {
                    Ok(facts) => {
                        assert!(!facts.damage.is_empty() || facts.dangling > 0, "{how:?}: {facts:?}");
                    }
                    Err(error) => assert_eq!(error.kind, StoreErrorKind::Unusable, "{error:?}"),
                },
            }
        }
    }
}
