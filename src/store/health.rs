//! How probes changed their standing: what was, what became of it, and what was seen.
use super::{
    Store,
    columns::{from_time, from_word, time, word},
    error::Result,
};
use crate::domain::ProbeTransition;
use rusqlite::{Row, params};

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 10_000;

impl Store {
    pub async fn record_transition(&self, transition: ProbeTransition) -> Result<()> {
        self.write("record a change of a probe", move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO transitions (at, target, probe, was, became, detail)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    from_time(transition.at)?,
                    transition.target,
                    transition.probe,
                    from_word(transition.from)?,
                    from_word(transition.to)?,
                    transition.detail,
                ])?;
            Ok(())
        })
        .await
    }

    /// Newest first, of one target or of all. At most 10,000.
    pub async fn transitions(&self, target: Option<String>, limit: u32) -> Result<Vec<ProbeTransition>> {
        self.read("read the changes of probes", move |connection| {
            let limit = limit.min(LONGEST_PAGE);
            let found = match target {
                Some(target) => connection
                    .prepare_cached(
                        "SELECT at, target, probe, was, became, detail FROM transitions
                         WHERE target = ?1 ORDER BY seq DESC LIMIT ?2",
                    )?
                    .query_map(params![target, limit], transition)?
                    .collect::<rusqlite::Result<_>>()?,
                None => connection
                    .prepare_cached(
                        "SELECT at, target, probe, was, became, detail FROM transitions
                         ORDER BY seq DESC LIMIT ?1",
                    )?
                    .query_map([limit], transition)?
                    .collect::<rusqlite::Result<_>>()?,
            };
            Ok(found)
        })
        .await
    }
}

fn transition(row: &Row<'_>) -> rusqlite::Result<ProbeTransition> {
    Ok(ProbeTransition {
        at: time(row, 0)?,
        target: row.get(1)?,
        probe: row.get(2)?,
        from: word(row, 3)?,
        to: word(row, 4)?,
        detail: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ProbeState, store::scratch::Scratch};
    use jiff::Timestamp;

    #[tokio::test]
    async fn changes_come_newest_first_and_by_target() {
        let store = Scratch::new();
        let change = |target: &str, second| ProbeTransition {
            at: Timestamp::from_second(second).expect("a time"),
            target: target.into(),
            probe: "ready".into(),
            from: ProbeState::Passing,
            to: ProbeState::Failing,
            detail: "connection refused".into(),
        };
        for one in [change("orders/0", 1), change("db", 2), change("orders/0", 3)] {
            store.record_transition(one).await.expect("recorded");
        }
        let of = |target: Option<&str>, limit| store.transitions(target.map(Into::into), limit);
        assert_eq!(of(None, 2).await.expect("read"), [change("orders/0", 3), change("db", 2)]);
        let orders = of(Some("orders/0"), 9).await.expect("read");
        assert_eq!(orders, [change("orders/0", 3), change("orders/0", 1)]);
        assert_eq!(of(Some("' OR 1 --"), 9).await.expect("read"), []);
    }
}
