//! Rollouts: begun once, moved by the table of `domain::rollout`, ended once. What happens to one is recorded together
//! with it.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, from_word, integer, number, optional_time, time, word},
    error::{Result, Trouble},
    events,
};
use crate::domain::{
    Act, AgentName, Event, EventKind, InstanceId, OperationId, Rollout, RolloutComparison, RolloutState,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use std::{collections::BTreeMap, str::FromStr};

const COLUMNS: &str = "id, agent, release, state, by, reason, since, ended_at, why, operation, comparison";

/// What a rollout comes to.
#[derive(Clone, Debug)]
pub struct RolloutMove {
    pub id: u64,
    pub to: RolloutState,
    pub why: String,
    pub operation: Option<OperationId>,
    pub comparison: Option<RolloutComparison>,
}

impl Store {
    /// Returns it with its number. Refused while another of the same agent is open (Conflict).
    pub async fn begin_rollout(&self, act: Act, rollout: Rollout) -> Result<Rollout> {
        self.act("begin a rollout", act, move |connection| {
            let open = connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM rollouts WHERE agent = ?1 AND state IN ('trying', 'promoting')"
                ))?
                .query_row([rollout.agent.as_str()], read)
                .optional()?;
            if let Some(open) = open {
                let message = format!(
                    "cannot begin a rollout of {}: number {} of {} is {}",
                    rollout.agent, open.id, open.release, open.state
                );
                return Err(said(message, format!("`agentctl rollout show {}` has it", rollout.agent)));
            }
            let id = connection
                .prepare_cached(
                    "INSERT INTO rollouts (agent, release, state, by, reason, since, why)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, '') RETURNING id",
                )?
                .query_row(
                    params![
                        rollout.agent.as_str(),
                        rollout.release.to_string(),
                        from_word(RolloutState::Trying)?,
                        rollout.by.to_string(),
                        rollout.reason,
                        from_time(rollout.since)?,
                    ],
                    |row| number(row, 0),
                )?;
            let begun = Rollout { id, state: RolloutState::Trying, ..rollout };
            let of = format!("{} of {}", InstanceId::candidate(begun.agent.clone()), begun.release);
            let text = format!("rollout {id}: {of} is tried, by {}", begun.by);
            tell(connection, begun.since, EventKind::RolloutBegun, &begun.agent, text)?;
            Ok(Effect::on(format!("rollout/{id}"), begun).because(of))
        })
        .await
    }

    /// By the one table of moves; a move that is not in it is refused (Conflict). Where it stands there already, only
    /// the operation may still be added.
    pub async fn move_rollout(&self, act: Act, wanted: RolloutMove) -> Result<Rollout> {
        let now = self.clock().now();
        self.act("move a rollout", act, move |connection| {
            let id = integer(wanted.id)?;
            let known = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM rollouts WHERE id = ?1"))?
                .query_row([id], read)
                .optional()?;
            let Some(known) = known else {
                return Err(said(format!("cannot find rollout {}", wanted.id), hint()));
            };
            let names_it = known.state == wanted.to && wanted.to == RolloutState::Promoting;
            if !names_it && !known.state.next().contains(&wanted.to) {
                let message =
                    format!("cannot call rollout {} {}: it is {}", wanted.id, wanted.to, known.state);
                return Err(said(message, hint()));
            }
            let moved = Rollout {
                state: wanted.to,
                ended_at: (!wanted.to.is_open()).then_some(now),
                why: wanted.why,
                operation: wanted.operation.or(known.operation),
                comparison: wanted.comparison.or(known.comparison),
                ..known
            };
            let comparison = moved
                .comparison
                .as_ref()
                .map(serde_json::to_string)
                .transpose()
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            connection
                .prepare_cached(
                    "UPDATE rollouts SET state = ?2, ended_at = ?3, why = ?4, operation = ?5, comparison = ?6
                     WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    from_word(moved.state)?,
                    moved.ended_at.map(from_time).transpose()?,
                    moved.why,
                    moved.operation.map(|operation| operation.to_string()),
                    comparison,
                ])?;
            let said = format!("{}: {}", moved.state, moved.why);
            if !moved.state.is_open() {
                let text = format!("rollout {} of {} is {said}", moved.id, moved.release);
                tell(connection, now, EventKind::RolloutEnded, &moved.agent, text)?;
            }
            Ok(Effect::on(format!("rollout/{}", moved.id), moved).because(said))
        })
        .await
    }

    /// Newest first; of one agent, or of all.
    pub async fn rollouts(&self, agent: Option<AgentName>, limit: u32) -> Result<Vec<Rollout>> {
        self.read("list rollouts", move |connection| {
            let of = agent.as_ref().map(AgentName::as_str);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM rollouts WHERE ?1 IS NULL OR agent = ?1 ORDER BY id DESC LIMIT ?2"
            ))?;
            let rows = query.query_map(params![of, limit], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Those that nothing has ended, oldest first.
    pub async fn open_rollouts(&self) -> Result<Vec<Rollout>> {
        self.read("list rollouts", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM rollouts WHERE state IN ('trying', 'promoting') ORDER BY id"
            ))?;
            let rows = query.query_map([], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many errors of each instance were kept since then.
    pub async fn errors_by_instance(&self, since: Timestamp) -> Result<BTreeMap<InstanceId, u32>> {
        self.read("count errors by instance", move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT instance, count(*) FROM error_occurrences
                 WHERE at >= ?1 AND instance IS NOT NULL GROUP BY instance",
            )?;
            let rows = query.query_map([from_time(since)?], |row| Ok((word(row, 0)?, number(row, 1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Rollout> {
    let operation: Option<String> = row.get(9)?;
    let comparison: Option<String> = row.get(10)?;
    Ok(Rollout {
        id: number(row, 0)?,
        agent: parsed(row, 1)?,
        release: parsed(row, 2)?,
        state: word(row, 3)?,
        by: parsed(row, 4)?,
        reason: row.get(5)?,
        since: time(row, 6)?,
        ended_at: optional_time(row, 7)?,
        why: row.get(8)?,
        operation: operation.map(|text| text.parse()).transpose().map_err(|why| unreadable(9, why))?,
        comparison: comparison
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| unreadable(10, error.to_string()))?,
    })
}

fn parsed<T: FromStr<Err = String>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|why| unreadable(column, why))
}

fn unreadable(column: usize, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

fn tell(
    connection: &Connection,
    at: Timestamp,
    kind: EventKind,
    agent: &AgentName,
    text: String,
) -> rusqlite::Result<()> {
    let instance = Some(InstanceId::candidate(agent.clone()));
    events::insert(connection, Event { seq: 0, at, kind, instance, text })
}

fn said(message: String, hint: String) -> Trouble {
    Trouble::Said(StoreError::new(StoreErrorKind::Conflict, message).hint(hint))
}

fn hint() -> String {
    "`agentctl rollout list` shows them".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RetentionSettings,
        domain::ReleaseId,
        store::scratch::{Scratch, act},
    };
    use jiff::SignedDuration;

    fn sample(agent: &str) -> Rollout {
        Rollout {
            id: 0,
            agent: agent.parse().expect("a name"),
            release: ReleaseId(7),
            state: RolloutState::Trying,
            by: "user:0".parse().expect("a principal"),
            reason: "it's a try".into(),
            since: Timestamp::now(),
            ended_at: None,
            why: String::new(),
            operation: None,
            comparison: None,
        }
    }

    fn to(id: u64, to: RolloutState) -> RolloutMove {
        RolloutMove { id, to, why: "because".into(), operation: None, comparison: None }
    }

    #[tokio::test]
    async fn an_agent_has_one_at_a_time_and_what_ended_stays_so() {
        let store = Scratch::new();
        let first = store.begin_rollout(act(), sample("orders")).await.expect("begun");
        let second = store.begin_rollout(act(), sample("orders")).await.expect_err("a second one");
        assert_eq!(second.kind, StoreErrorKind::Conflict);
        store.begin_rollout(act(), sample("billing")).await.expect("of another agent");

        let early = store.move_rollout(act(), to(1, RolloutState::Promoted)).await.expect_err("too early");
        assert_eq!(early.kind, StoreErrorKind::Conflict);
        store.move_rollout(act(), to(1, RolloutState::Promoting)).await.expect("moved");
        let named = RolloutMove { operation: "op-3".parse().ok(), ..to(1, RolloutState::Promoting) };
        store.move_rollout(act(), named).await.expect("its operation is known");
        let done = store.move_rollout(act(), to(1, RolloutState::Promoted)).await.expect("moved");
        assert_eq!((done.operation, done.ended_at.is_some()), ("op-3".parse().ok(), true));
        assert!(store.move_rollout(act(), to(1, RolloutState::Failed)).await.is_err(), "ended twice");
        assert!(store.move_rollout(act(), to(77, RolloutState::Failed)).await.is_err());
        store.begin_rollout(act(), sample("orders")).await.expect("the next one");

        let store = store.reopen().await;
        let all = store.rollouts(first.agent.into(), 9).await.expect("read");
        assert_eq!(
            all.iter().map(|one| (one.id, one.state)).collect::<Vec<_>>(),
            [(3, RolloutState::Trying), (1, RolloutState::Promoted)]
        );
        let open = store.open_rollouts().await.expect("read");
        assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), [2, 3]);
        // Three begun, three moves that were made.
        assert_eq!(store.audit_events(0, 99).await.expect("read").len(), 6);
        let told = store.events(0, 99).await.expect("read");
        assert_eq!(told.iter().filter(|event| event.kind == EventKind::RolloutEnded).count(), 1);
    }

    #[tokio::test]
    async fn what_ended_long_ago_is_pruned_and_what_is_open_is_not() {
        let store = Scratch::new();
        let old = Timestamp::now() - SignedDuration::from_hours(24 * 800);
        for agent in ["orders", "billing"] {
            store.begin_rollout(act(), Rollout { since: old, ..sample(agent) }).await.expect("begun");
        }
        store.move_rollout(act(), to(1, RolloutState::Aborted)).await.expect("moved");
        // The events of their beginning go; the one that ended, ended just now.
        assert_eq!(store.prune(RetentionSettings::default()).await.expect("pruned"), 2);
        assert_eq!(store.rollouts(None, 9).await.expect("read").len(), 2);
        let none = crate::domain::Period::secs(0);
        let short = RetentionSettings { rollouts: none, ..RetentionSettings::default() };
        assert_eq!(store.prune(short).await.expect("pruned"), 1);
        assert_eq!(store.rollouts(None, 9).await.expect("read").len(), 1);
    }
}
