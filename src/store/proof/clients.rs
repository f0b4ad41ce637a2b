//! Rows of clients' data are given to whom they may be given: asked of the type that every such table uses, on a
//! scratch table. Facts only, no judgement.
use crate::{
    domain::Clients,
    store::{
        Store,
        clients::{ClientTable, Which},
        error::{Answer, Result},
    },
};
use rusqlite::Connection;

const SCRATCH: ClientTable = ClientTable { name: "proof_clients", key: "id" };
/// Whose the rows 1, 2, 3 … are.
pub const WHOSE: &[&str] = &["ana", "Ana", "o'hara", "50%_off", "%", "x\") OR 1=1 --", "nobody else's"];
/// The key of a row that is not there.
const ABSENT: i64 = 4242;

/// What one caller could do to the rows of `WHOSE`, by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightFacts {
    pub listed: Vec<i64>,
    pub counted: u64,
    pub found: Vec<i64>,
    pub changed: Vec<i64>,
    pub deleted: Vec<i64>,
    /// What a change and a deletion of `everything` touched.
    pub changed_together: Vec<i64>,
    pub deleted_together: Vec<i64>,
    /// For whom of `WHOSE`, by number as above, a row could be added.
    pub added_for: Vec<i64>,
    /// Was a row that is not there found, changed or deleted?
    pub absent_answered: bool,
}

impl Store {
    /// What a caller with these clients sees and can change. Leaves nothing behind.
    pub async fn prove_client_rows(&self, clients: Clients) -> Result<SightFacts> {
        self.write("try rows of clients", move |connection| {
            connection.execute_batch(
                "CREATE TABLE proof_clients (id INTEGER PRIMARY KEY, client TEXT NOT NULL, text TEXT NOT NULL) STRICT;
                 CREATE INDEX proof_clients_of ON proof_clients (client)",
            )?;
            for whose in WHOSE {
                SCRATCH.seen_by(&Clients::All, connection).add(whose, &["text"], &[&"untouched"])?;
            }
            let facts = facts(connection, &clients);
            connection.execute_batch("DROP TABLE proof_clients")?;
            facts
        })
        .await
    }
}

fn facts(connection: &Connection, clients: &Clients) -> Answer<SightFacts> {
    let rows = SCRATCH.seen_by(clients, connection);
    let keys = || 1..=i64::try_from(WHOSE.len()).unwrap_or_default();
    let listed = rows.list("id", &Which::ALL, "id", 100, |row| row.get(0))?;
    let counted = rows.count(&Which::ALL)?;
    let found = those(keys(), |key| Ok(rows.find(&key, "text", |_| Ok(()))?.is_some()))?;
    let absent_answered = rows.find(&ABSENT, "text", |_| Ok(()))?.is_some()
        || rows.change(&ABSENT, "text = 'changed'", &[])?
        || rows.delete(&ABSENT)?;

    // What was really touched is asked of the table itself, not of the type that is tried.
    let added_for = undone(connection, || {
        those(keys(), |number| {
            let whose = usize::try_from(number - 1).ok().and_then(|at| WHOSE.get(at));
            rows.add(whose.unwrap_or(&""), &["text"], &[&"added"])?;
            let added = "SELECT count(*) FROM proof_clients WHERE text = 'added' AND client = ?1";
            Ok(connection.query_row(added, [whose], |row| row.get::<_, i64>(0))? > 0)
        })
    })?;
    let changed = undone(connection, || {
        for key in keys() {
            whole(connection, || rows.change(&key, "text = 'changed'", &[]))?;
        }
        touched(connection)
    })?;
    let changed_together = undone(connection, || {
        whole(connection, || rows.change_all(&Which::ALL, "text = 'changed'", &[]))?;
        touched(connection)
    })?;
    let deleted = undone(connection, || {
        for key in keys() {
            rows.delete(&key)?;
        }
        gone(connection, keys())
    })?;
    let deleted_together = undone(connection, || {
        rows.delete_all(&Which::ALL)?;
        gone(connection, keys())
    })?;
    Ok(SightFacts {
        listed,
        counted,
        found,
        changed,
        deleted,
        changed_together,
        deleted_together,
        added_for,
        absent_answered,
    })
}

fn those(keys: impl Iterator<Item = i64>, mut is: impl FnMut(i64) -> Answer<bool>) -> Answer<Vec<i64>> {
    let mut kept = Vec::new();
    for key in keys {
        if is(key)? {
            kept.push(key);
        }
    }
    Ok(kept)
}

fn undone<T>(connection: &Connection, attempt: impl FnOnce() -> Answer<T>) -> Answer<T> {
    connection.execute_batch("SAVEPOINT clients")?;
    let end = attempt();
    connection.execute_batch("ROLLBACK TO clients; RELEASE clients")?;
    end
}

/// As the store does it: what ends in an error has changed nothing.
fn whole<T>(connection: &Connection, attempt: impl FnOnce() -> Answer<T>) -> Answer<()> {
    connection.execute_batch("SAVEPOINT one")?;
    let end = if attempt().is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
    Ok(connection.execute_batch(end)?)
}

fn touched(connection: &Connection) -> Answer<Vec<i64>> {
    let mut query =
        connection.prepare("SELECT id FROM proof_clients WHERE text <> 'untouched' ORDER BY id")?;
    Ok(query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn gone(connection: &Connection, keys: impl Iterator<Item = i64>) -> Answer<Vec<i64>> {
    let mut query = connection.prepare("SELECT id FROM proof_clients")?;
    let left: Vec<i64> = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(keys.filter(|key| !left.contains(key)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::Scratch;

    #[tokio::test]
    async fn the_proof_sees_all_one_or_none_and_leaves_nothing_behind() {
        let store = Scratch::new();
        let all: Vec<i64> = (1..=7).collect();
        let seen = store.prove_client_rows(Clients::All).await.expect("proved");
        assert_eq!((&seen.listed, seen.counted, &seen.found), (&all, 7, &all));
        assert_eq!((&seen.deleted_together, &seen.added_for), (&all, &all));
        let one = Clients::Only(["%".to_owned()].into());
        for _twice in 0..2 {
            let seen = store.prove_client_rows(one.clone()).await.expect("proved");
            for keys in [&seen.listed, &seen.found, &seen.changed, &seen.deleted, &seen.added_for] {
                assert_eq!(keys, &[5], "{seen:?}");
            }
            assert!(!seen.absent_answered);
        }
        let none = store.prove_client_rows(Clients::None).await.expect("proved");
        assert!(none.listed.is_empty() && none.counted == 0 && none.deleted_together.is_empty());
    }
}
