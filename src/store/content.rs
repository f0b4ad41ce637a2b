//! What a database says, whatever its pages: a digest for each table, of its rows in the order of their key.
use crate::domain::{Content, Digest, TableContent};
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, types::ValueRef};
use std::collections::BTreeMap;

/// What no other digest begins with.
const CONTENT: &[u8] = b"agentd database content 1";

/// In one snapshot, if the caller has one open.
pub(super) fn content(connection: &Connection) -> rusqlite::Result<Content> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let schema = query_digest(
        connection,
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY type, name",
    )?
    .digest;
    let mut tables = BTreeMap::new();
    for name in names(connection)? {
        let told = table(connection, &name)?;
        tables.insert(name, told);
    }
    let mut all = Hasher::new(CONTENT);
    all.add(&version.to_be_bytes());
    all.add(&schema.0);
    for (name, table) in &tables {
        all.add(name.as_bytes());
        all.add(&table.rows.to_be_bytes());
        all.add(&table.digest.0);
    }
    Ok(Content { version, schema, tables, digest: all.finish() })
}

/// Ours, and which numbers were given already: `sqlite_sequence`.
fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table'
             AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_sequence') ORDER BY name",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn table(connection: &Connection, name: &str) -> rusqlite::Result<TableContent> {
    let columns = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let quoted = |column: String| format!("\"{}\"", column.replace('"', "\"\""));
        connection.prepare(sql)?.query_map([name], |row| row.get(0).map(quoted))?.collect()
    };
    let all = columns("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?.join(", ");
    let key = columns("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?.join(", ");
    let order = if key.is_empty() { &all } else { &key };
    query_digest(connection, &format!("SELECT {all} FROM \"{}\" ORDER BY {order}", name.replace('"', "\"\"")))
}

fn query_digest(connection: &Connection, sql: &str) -> rusqlite::Result<TableContent> {
    let mut query = connection.prepare(sql)?;
    let columns = query.column_count();
    let mut hasher = Hasher::new(b"rows");
    hasher.add(query.column_names().join("\0").as_bytes());
    let mut rows = query.query([])?;
    let mut count = 0_u64;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            hasher.value(row.get_ref(column)?);
        }
    }
    hasher.add(&count.to_be_bytes());
    Ok(TableContent { rows: count, digest: hasher.finish() })
}

/// No two sequences of values come to the same bytes: each has its type and its length before it.
struct Hasher(Context);

impl Hasher {
    fn new(purpose: &[u8]) -> Self {
        let mut hasher = Self(Context::new(&SHA256));
        hasher.add(purpose);
        hasher
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.0.update(b"n"),
            ValueRef::Integer(number) => {
                self.0.update(b"i");
                self.0.update(&number.to_be_bytes());
            }
            ValueRef::Real(number) => {
                self.0.update(b"r");
                self.0.update(&number.to_bits().to_be_bytes());
            }
            ValueRef::Text(text) => {
                self.0.update(b"t");
                self.add(text);
            }
            ValueRef::Blob(bytes) => {
                self.0.update(b"b");
                self.add(bytes);
            }
        }
    }

    fn finish(self) -> Digest {
        let mut digest = Digest::default();
        digest.0.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Content {
        let memory = Connection::open_in_memory().expect("a database");
        memory.execute_batch(sql).expect("made");
        content(&memory).expect("read")
    }

    #[test]
    fn the_same_rows_on_other_pages_are_the_same_and_any_change_is_seen() {
        const MADE: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x ANY) STRICT;
            CREATE TABLE b (k TEXT PRIMARY KEY, v BLOB) STRICT, WITHOUT ROWID; ";
        let rows = "INSERT INTO a (x) VALUES (1), ('1'), (NULL), (x'31'), (1.5); INSERT INTO b VALUES ('k', x'00'), ('j', NULL); ";
        let sound = of(&format!("{MADE}{rows}"));
        let moved = of(&format!(
            "{MADE}INSERT INTO b VALUES ('j', NULL); {}DELETE FROM b; INSERT INTO b VALUES ('k', x'00'), ('j', NULL);
             CREATE TABLE more (x); DROP TABLE more; VACUUM;",
            rows.replace("('j', NULL)", "('i', NULL)")
        ));
        assert_eq!(sound.differences(&moved), Vec::<String>::new());
        assert_eq!(sound, moved);
        for (change, told) in [
            ("UPDATE a SET x = '1' WHERE id = 1", "table a has other rows"),
            ("UPDATE a SET x = x'31' WHERE id = 2", "table a has other rows"),
            ("UPDATE b SET k = 'l' WHERE k = 'k'", "table b has other rows"),
            ("DELETE FROM b WHERE k = 'j'", "table b has 1 rows instead of 2"),
            ("UPDATE sqlite_sequence SET seq = 9", "table sqlite_sequence has other rows"),
            ("CREATE INDEX more ON a (x)", "the tables were made by other statements"),
            ("PRAGMA user_version = 7", "version 7 instead of 0"),
        ] {
            let changed = of(&format!("{MADE}{rows}{change}"));
            assert_eq!(sound.differences(&changed), [told], "{change}");
            assert_ne!(sound.digest, changed.digest, "{change}");
        }
    }
}
