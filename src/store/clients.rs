//! Rows of clients' data, as far as the caller may see them. Every table with a `client` column is read, counted,
//! changed and deleted through here and nowhere else (`tests/it/floors.rs` looks), so that none forgets whose data it
//! gives away. What is not the caller's answers as what is not there.
use super::{StoreError, StoreErrorKind, error::Answer};
use crate::domain::Clients;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

/// A table whose `client` column says whose each row is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientTable {
    pub name: &'static str,
    /// Its primary key.
    pub key: &'static str,
}

/// Such a table as one caller sees it.
pub(super) struct ClientRows<'a> {
    connection: &'a Connection,
    table: ClientTable,
    clients: &'a Clients,
    /// The ids of `Only`, as the one value that a statement is given: no id is ever part of its text.
    ids: String,
}

/// Which of the caller's rows: a condition of our own with named values.
pub(super) struct Which<'a> {
    pub condition: &'static str,
    pub values: &'a [(&'a str, &'a dyn ToSql)],
}

impl Which<'_> {
    pub const ALL: Which<'static> = Which { condition: "1", values: &[] };
}

impl ClientTable {
    pub fn seen_by<'a>(self, clients: &'a Clients, connection: &'a Connection) -> ClientRows<'a> {
        let ids = match clients {
            Clients::Only(ids) => serde_json::json!(ids).to_string(),
            Clients::All | Clients::None => String::new(),
        };
        ClientRows { connection, table: self, clients, ids }
    }
}

impl ClientRows<'_> {
    /// One row by its key. Whose it is is looked at here and not in the statement: a row of somebody else's costs what
    /// an absent one costs, however many clients the caller has.
    pub fn find<T>(
        &self,
        key: &dyn ToSql,
        columns: &'static str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        let ClientTable { name, key: key_column } = self.table;
        let sql = format!("SELECT {columns}, client AS whose FROM {name} WHERE {key_column} = ?1");
        let found = self
            .connection
            .prepare_cached(&sql)?
            .query_row([key], |row| {
                let whose: String = row.get("whose")?;
                self.clients.include(&whose).then(|| read(row)).transpose()
            })
            .optional()?;
        Ok(found.flatten())
    }

    /// At most `limit`, in an order of ours.
    pub fn list<T>(
        &self,
        columns: &'static str,
        which: &Which<'_>,
        order: &'static str,
        limit: u32,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Vec<T>> {
        let sql = format!(
            "SELECT {columns} FROM {} WHERE {} ORDER BY {order} LIMIT {limit}",
            self.table.name,
            self.theirs(which)
        );
        let mut query = self.connection.prepare_cached(&sql)?;
        let rows = query.query_map(&*self.values(which), read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub fn count(&self, which: &Which<'_>) -> Answer<u64> {
        let sql = format!("SELECT count(*) FROM {} WHERE {}", self.table.name, self.theirs(which));
        let count: i64 =
            self.connection.prepare_cached(&sql)?.query_row(&*self.values(which), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// False where there is no such client for the caller; nothing is written then.
    pub fn add(&self, client: &str, columns: &[&'static str], values: &[&dyn ToSql]) -> Answer<bool> {
        if !self.clients.include(client) {
            return Ok(false);
        }
        let names: String = columns.iter().map(|column| format!(", {column}")).collect();
        let places: String = (2..columns.len() + 2).map(|place| format!(", ?{place}")).collect();
        let sql = format!("INSERT INTO {} (client{names}) VALUES (?1{places})", self.table.name);
        let values: Vec<&dyn ToSql> =
            [&client as &dyn ToSql].into_iter().chain(values.iter().copied()).collect();
        self.connection.prepare_cached(&sql)?.execute(&*values)?;
        Ok(true)
    }

    /// One row by its key; false where there is none of the caller's. `set` may not give it to somebody else.
    pub fn change(&self, key: &dyn ToSql, set: &'static str, values: &[(&str, &dyn ToSql)]) -> Answer<bool> {
        if self.find(key, self.table.key, |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        let ClientTable { name, key: key_column } = self.table;
        let sql = format!("UPDATE {name} SET {set} WHERE {key_column} = :key RETURNING client");
        let values: Vec<_> = values.iter().copied().chain([(":key", key)]).collect();
        Ok(self.changed(&sql, &values)? > 0)
    }

    /// How many were changed.
    pub fn change_all(
        &self,
        which: &Which<'_>,
        set: &'static str,
        values: &[(&str, &dyn ToSql)],
    ) -> Answer<u64> {
        let sql =
            format!("UPDATE {} SET {set} WHERE {} RETURNING client", self.table.name, self.theirs(which));
        let values: Vec<_> = values.iter().copied().chain(self.values(which)).collect();
        self.changed(&sql, &values)
    }

    /// One row by its key; false where there is none of the caller's.
    pub fn delete(&self, key: &dyn ToSql) -> Answer<bool> {
        if self.find(key, self.table.key, |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        let ClientTable { name, key: key_column } = self.table;
        let sql = format!("DELETE FROM {name} WHERE {key_column} = ?1");
        Ok(self.connection.prepare_cached(&sql)?.execute([key])? > 0)
    }

    /// How many were deleted.
    pub fn delete_all(&self, which: &Which<'_>) -> Answer<u64> {
        let sql = format!("DELETE FROM {} WHERE {}", self.table.name, self.theirs(which));
        Ok(self.connection.prepare_cached(&sql)?.execute(&*self.values(which))? as u64)
    }

    /// The condition that nobody gets past. Compared byte for byte, whatever the column's own collation.
    fn theirs(&self, which: &Which<'_>) -> String {
        let whose = match self.clients {
            Clients::All => "1",
            Clients::Only(_) => "client COLLATE BINARY IN (SELECT value FROM json_each(:clients))",
            Clients::None => "0",
        };
        format!("{whose} AND ({})", which.condition)
    }

    fn values<'v>(&'v self, which: &Which<'v>) -> Vec<(&'v str, &'v dyn ToSql)> {
        let only = matches!(self.clients, Clients::Only(_));
        let ids = only.then_some((":clients", &self.ids as &dyn ToSql));
        which.values.iter().copied().chain(ids).collect()
    }

    /// Changes, unless a row would end up with somebody else: then the caller's transaction is undone.
    fn changed(&self, sql: &str, values: &[(&str, &dyn ToSql)]) -> Answer<u64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let whose: String = row.get(0)?;
            if !self.clients.include(&whose) {
                let message = "cannot give a row to a client that the caller does not have";
                return Err(StoreError::new(StoreErrorKind::Conflict, message).into());
            }
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const NOTES: ClientTable = ClientTable { name: "notes", key: "id" };

    fn notes(count: usize) -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE notes (id INTEGER PRIMARY KEY, client TEXT NOT NULL COLLATE NOCASE, text TEXT);
                 CREATE INDEX notes_of ON notes (client COLLATE BINARY);",
            )
            .expect("a table");
        let everybody = Clients::All;
        for at in 0..count {
            let rows = NOTES.seen_by(&everybody, &connection);
            assert!(rows.add(&format!("c{at}"), &["text"], &[&"x"]).expect("added"));
        }
        connection
    }

    fn only(ids: impl IntoIterator<Item = impl Into<String>>) -> Clients {
        Clients::Only(ids.into_iter().map(Into::into).collect())
    }

    #[test]
    fn a_condition_of_ours_cannot_widen_what_the_caller_sees() {
        let connection = notes(9);
        let clients = only(["c3", "c4"]);
        let rows = NOTES.seen_by(&clients, &connection);
        let any = Which { condition: "id = 1 OR 1", values: &[] };
        assert_eq!(rows.count(&any).expect("counted"), 2);
        let named = Which { condition: "text = :text", values: &[(":text", &"x")] };
        let ids = rows.list("id", &named, "id DESC", 9, |row| row.get::<_, i64>(0)).expect("listed");
        assert_eq!(ids, [5, 4]);
        assert_eq!(rows.list("id", &named, "id", 1, |row| row.get::<_, i64>(0)).expect("listed"), [4]);
        assert_eq!(rows.delete_all(&any).expect("deleted"), 2);
        assert_eq!(NOTES.seen_by(&Clients::All, &connection).count(&Which::ALL).expect("counted"), 7);
    }

    #[test]
    fn ids_are_compared_byte_for_byte_whatever_the_column_says() {
        let connection = notes(0);
        for id in ["ana", "ANA", "%", "_", "o'hara", "\"", "\\", "ana\0", "é", "e\u{301}"] {
            assert!(NOTES.seen_by(&Clients::All, &connection).add(id, &[], &[]).expect("added"));
        }
        for id in ["ana", "%", "_", "o'hara", "\"", "\\", "ana\0", "é"] {
            let clients = only([id]);
            let rows = NOTES.seen_by(&clients, &connection);
            let seen = rows.list("client", &Which::ALL, "id", 99, |row| row.get::<_, String>(0));
            assert_eq!(seen.expect("listed"), [id]);
            let found = (1..=10).filter(|key| rows.find(key, "id", |_| Ok(())).expect("asked").is_some());
            assert_eq!(found.count(), 1, "{id}");
        }
    }

    #[test]
    fn a_row_is_never_given_to_a_client_that_the_caller_does_not_have() {
        let connection = notes(3);
        let clients = only(["c0", "c1"]);
        let rows = NOTES.seen_by(&clients, &connection);
        assert!(rows.change(&1, "client = 'c1'", &[]).expect("between two of its own"));
        assert!(rows.change(&1, "client = :to", &[(":to", &"c2")]).is_err());
        assert!(rows.change_all(&Which::ALL, "client = 'c2'", &[]).is_err());
        assert!(!rows.add("c2", &[], &[]).expect("asked"));
    }

    #[test]
    fn a_long_list_of_clients_is_looked_up_by_the_index() {
        let connection = notes(1);
        let clients = only((0..5000).map(|at| format!("c{at}")));
        let rows = NOTES.seen_by(&clients, &connection);
        let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM notes WHERE {}", rows.theirs(&Which::ALL));
        let mut query = connection.prepare(&sql).expect("a plan");
        let plan: Vec<String> = query
            .query_map(&*rows.values(&Which::ALL), |row| row.get(3))
            .and_then(Iterator::collect)
            .expect("a plan");
        assert!(plan.iter().any(|line| line.contains("USING") && line.contains("notes_of")), "{plan:?}");
    }

    #[test]
    fn somebody_elses_row_costs_what_an_absent_one_costs() {
        let connection = notes(20);
        let clients = only((0..10_000).map(|at| format!("mine-{at}")));
        let rows = NOTES.seen_by(&clients, &connection);
        let time = |key: i64| {
            let began = Instant::now();
            assert!(rows.find(&key, "text", |_| Ok(())).expect("asked").is_none());
            began.elapsed()
        };
        let (mut theirs, mut absent): (Vec<_>, Vec<_>) =
            (0..400).map(|round| (time(1 + round % 20), time(1000 + round))).unzip();
        theirs.sort_unstable();
        absent.sort_unstable();
        let (theirs, absent) = (theirs[200], absent[200]);
        // One step of a statement apart; ten thousand ids parsed would be a hundred times that.
        assert!(theirs < absent * 4 + Duration::from_micros(20), "{theirs:?} against {absent:?}");
    }
}
