//! Things that have happened, in order, read by cursor. Numbers rise and are never given twice.
use super::{
    Store,
    columns::{from_time, from_word, number, optional_word, time, word},
    error::Result,
};
use crate::domain::Event;
use rusqlite::{Connection, Row, params};

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 10_000;

impl Store {
    pub async fn record_event(&self, event: Event) -> Result<()> {
        self.write("record an event", move |connection| Ok(insert(connection, event)?)).await
    }

    /// Events after `cursor`, oldest first; with cursor 0, the newest `limit`. At most 10,000.
    pub async fn events(&self, cursor: u64, limit: u32) -> Result<Vec<Event>> {
        self.read("read events", move |connection| {
            // A cursor past what SQLite can number has nothing after it.
            let after = i64::try_from(cursor).unwrap_or(i64::MAX);
            let mut query = connection.prepare_cached(if cursor == 0 {
                "SELECT * FROM (SELECT seq, at, kind, instance, text FROM events
                 WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2) ORDER BY seq"
            } else {
                "SELECT seq, at, kind, instance, text FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2"
            })?;
            let rows = query.query_map(params![after, limit.min(LONGEST_PAGE)], event)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Also for those who record an event together with what it tells of.
pub(super) fn insert(connection: &Connection, event: Event) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO events (at, kind, instance, text) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            from_time(event.at)?,
            from_word(event.kind)?,
            event.instance.map(String::from),
            event.text,
        ])?;
    Ok(())
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        seq: number(row, 0)?,
        at: time(row, 1)?,
        kind: word(row, 2)?,
        instance: optional_word(row, 3)?,
        text: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, event as happened};

    #[tokio::test]
    async fn a_cursor_misses_nothing_and_sees_nothing_twice() {
        let store = Scratch::new();
        for number in 1..=10 {
            store.record_event(happened(format!("{number}"))).await.expect("recorded");
        }
        let texts = |events: Vec<Event>| events.into_iter().map(|event| event.text).collect::<Vec<_>>();
        assert_eq!(texts(store.events(0, 3).await.expect("read")), ["8", "9", "10"]);
        let mut cursor = 3;
        let mut seen = Vec::new();
        loop {
            let page = store.events(cursor, 4).await.expect("read");
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            seen.extend(texts(page));
        }
        assert_eq!(seen, ["4", "5", "6", "7", "8", "9", "10"]);
        assert_eq!(store.events(u64::MAX, 4).await.expect("read"), []);
    }

    #[tokio::test]
    async fn an_event_reads_back_as_it_was() {
        let store = Scratch::new();
        let told = happened("quote ' and \u{1b}[31m stay data");
        store.record_event(told.clone()).await.expect("recorded");
        let unnamed = Event { instance: None, ..told.clone() };
        store.record_event(unnamed.clone()).await.expect("recorded");
        let store = store.reopen().await;
        let kept = store.events(0, 9).await.expect("read");
        assert_eq!(kept, [Event { seq: 1, ..told }, Event { seq: 2, ..unnamed }]);
    }
}
