//! Groups as they are shown: with the last hours, and how the present one compares with its own history.
use crate::{
    domain::{
        Alike, ErrorAlarm, ErrorFilter, ErrorGroup, ErrorPattern, ErrorState, HOURS_SHOWN, Ignored,
        MOST_HISTORY, Occurrence, PatternBy, Resolution, SpikeRule, hour_of, spike,
    },
    store::{
        Store,
        columns::{from_time, from_word, integer, number, optional_time, optional_word, time, word},
        error::Result,
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// No answer is longer, whatever is asked for.
const LONGEST_PAGE: u32 = 1_000;
const COLUMNS: &str =
    "id, fingerprint, category, severity, kind, operation, agent, retryable, message, hint, state,
    first_at, last_at, count, opened_at, assignee, resolved_at, resolved_by, resolved_note, resolved_took_s,
    ignored_until, ignored_until_count, ignored_note, regressions";

impl Store {
    /// Last seen first. `at` is now; spikes are judged by `rule`.
    pub async fn error_groups(
        &self,
        filter: ErrorFilter,
        at: Timestamp,
        rule: SpikeRule,
        limit: u32,
    ) -> Result<Vec<ErrorGroup>> {
        self.read("list errors", move |connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM error_groups
                 WHERE last_at >= ?1 AND (?2 IS NULL OR category = ?2) AND (?3 IS NULL OR operation = ?3
                 OR substr(operation, 1, length(?3) + 1) IN (?3 || '/', ?3 || '.'))
                 AND (?4 IS NULL OR agent = ?4) AND (?5 IS NULL OR state = ?5) AND rank >= ?6
                 AND (?7 OR ?5 IS NOT NULL OR state IN ('open', 'regressed'))
                 ORDER BY last_at DESC, id DESC LIMIT ?8"
            ))?;
            let arguments = params![
                filter.since.map(from_time).transpose()?.unwrap_or(i64::MIN),
                filter.category.map(from_word).transpose()?,
                filter.operation,
                filter.agent,
                filter.state.map(from_word).transpose()?,
                filter.severity.map_or(0, |severity| severity as u8),
                filter.all,
                limit.min(LONGEST_PAGE),
            ];
            let groups: Vec<ErrorGroup> =
                query.query_map(arguments, group)?.collect::<rusqlite::Result<_>>()?;
            Ok(groups
                .into_iter()
                .map(|group| with_history(connection, group, at, rule))
                .collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One, with the occurrences that are kept, newest first.
    pub async fn error_group(
        &self,
        id: u64,
        at: Timestamp,
        rule: SpikeRule,
    ) -> Result<Option<(ErrorGroup, Vec<Occurrence>)>> {
        self.read("show an error", move |connection| {
            let Some(group) = by_id(connection, id)? else { return Ok(None) };
            let group = with_history(connection, group, at, rule)?;
            let mut query = connection.prepare_cached(
                "SELECT at, instance, client, correlation, message, causes, context FROM error_occurrences
                 WHERE group_id = ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let rows = query.query_map(params![integer(id)?, LONGEST_PAGE], occurrence)?;
            Ok(Some((group, rows.collect::<rusqlite::Result<_>>()?)))
        })
        .await
    }

    /// What failures since a moment have in common, the most first; whole hours.
    pub async fn error_patterns(
        &self,
        by: PatternBy,
        since: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<ErrorPattern>> {
        self.read("count errors", move |connection| {
            let name = match by {
                PatternBy::Category => "category",
                PatternBy::Operation => "operation",
                PatternBy::Agent => "ifnull(agent, '')",
            };
            let (from, to) = (hour_of(since), hour_of(at));
            let before = from - (to - from + 1);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {name} AS name, count(DISTINCT iif(hour >= ?1, id, NULL)),
                 sum(iif(hour >= ?1, h.count, 0)) AS now, sum(iif(hour < ?1, h.count, 0)) AS before
                 FROM error_hours AS h JOIN error_groups ON id = group_id
                 WHERE hour >= ?2 AND hour <= ?3 GROUP BY name ORDER BY now DESC, before DESC, name"
            ))?;
            let rows = query.query_map(params![from, before, to], |row| {
                Ok(ErrorPattern {
                    name: row.get(0)?,
                    groups: number(row, 1)?,
                    count: number(row, 2)?,
                    share: 0.0,
                    before: number(row, 3)?,
                })
            })?;
            let mut patterns: Vec<ErrorPattern> = rows.collect::<rusqlite::Result<_>>()?;
            let all: u64 = patterns.iter().map(|pattern| pattern.count).sum();
            for pattern in &mut patterns {
                pattern.share = if all == 0 { 0.0 } else { pattern.count as f64 / all as f64 };
            }
            Ok(patterns)
        })
        .await
    }

    /// Groups that spike now or came back after they were resolved, the gravest first.
    pub async fn alarming_errors(&self, at: Timestamp, rule: SpikeRule) -> Result<Vec<ErrorGroup>> {
        self.read("look for errors that alarm", move |connection| {
            // Only what was seen in this hour or the one before can spike.
            let recent =
                from_time(Timestamp::from_second((hour_of(at) - 1) * 3600).unwrap_or(Timestamp::MIN))
                    .unwrap_or(i64::MIN);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM error_groups
                 WHERE state = 'regressed' OR (state = 'open' AND last_at >= ?1)
                 ORDER BY rank DESC, last_at DESC LIMIT ?2"
            ))?;
            let groups: Vec<ErrorGroup> =
                query.query_map(params![recent, LONGEST_PAGE], group)?.collect::<rusqlite::Result<_>>()?;
            let mut alarming = Vec::new();
            for group in groups {
                let group = with_history(connection, group, at, rule)?;
                alarming.extend(Some(group).filter(ErrorGroup::is_alarming));
            }
            Ok(alarming)
        })
        .await
    }

    /// The same as one line of the status.
    pub async fn error_alarm(&self, at: Timestamp, rule: SpikeRule) -> Result<Option<ErrorAlarm>> {
        let alarming = self.alarming_errors(at, rule).await?;
        let count = |is: fn(&ErrorGroup) -> bool| alarming.iter().filter(|group| is(group)).count() as u64;
        Ok(alarming.first().map(|worst| ErrorAlarm {
            spiking: count(|group| group.spike.is_some()),
            regressed: count(|group| group.state == ErrorState::Regressed),
            worst: worst.id,
            message: worst.message.clone(),
        }))
    }
}

pub(super) fn by_id(connection: &Connection, id: u64) -> rusqlite::Result<Option<ErrorGroup>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM error_groups WHERE id = ?1"))?
        .query_row([i64::try_from(id).unwrap_or(i64::MAX)], group)
        .optional()
}

fn with_history(
    connection: &Connection,
    mut group: ErrorGroup,
    at: Timestamp,
    rule: SpikeRule,
) -> rusqlite::Result<ErrorGroup> {
    let now = hour_of(at);
    let oldest = now - i64::try_from(MOST_HISTORY).unwrap_or(i64::MAX) - 1;
    let mut query = connection
        .prepare_cached("SELECT hour, count FROM error_hours WHERE group_id = ?1 AND hour >= ?2")?;
    let rows =
        query.query_map(params![integer(group.id)?, oldest], |row| Ok((row.get(0)?, number(row, 1)?)))?;
    let counts: BTreeMap<i64, u64> = rows.collect::<rusqlite::Result<_>>()?;
    let count = |hour: i64| counts.get(&hour).copied().unwrap_or(0);
    let shown = i64::try_from(HOURS_SHOWN).unwrap_or(i64::MAX);
    group.hours = (now - shown + 1..=now).map(count).collect();
    // An hour without one counts as such only since there has been one at all.
    let history: Vec<u64> = (oldest.max(hour_of(group.first_at))..now - 1).map(count).collect();
    group.spike = spike(&history, count(now).max(count(now - 1)), rule);
    Ok(group)
}

fn group(row: &Row<'_>) -> rusqlite::Result<ErrorGroup> {
    let state: ErrorState = word(row, 10)?;
    let resolution = match optional_time(row, 16)? {
        None => None,
        Some(at) => Some(Resolution {
            at,
            by: row.get::<_, Option<String>>(17)?.unwrap_or_default(),
            note: row.get::<_, Option<String>>(18)?.unwrap_or_default(),
            took_s: number(row, 19)?,
        }),
    };
    let ignored = match state {
        ErrorState::Ignored => Some(Ignored {
            until: optional_time(row, 20)?,
            until_count: row.get::<_, Option<i64>>(21)?.and_then(|count| u64::try_from(count).ok()),
            note: row.get::<_, Option<String>>(22)?.unwrap_or_default(),
        }),
        _ => None,
    };
    Ok(ErrorGroup {
        id: number(row, 0)?,
        alike: Alike {
            fingerprint: word(row, 1)?,
            category: word(row, 2)?,
            severity: word(row, 3)?,
            kind: word(row, 4)?,
            operation: row.get(5)?,
            agent: optional_word(row, 6)?,
            retryable: row.get(7)?,
        },
        message: row.get(8)?,
        hint: row.get(9)?,
        state,
        first_at: time(row, 11)?,
        last_at: time(row, 12)?,
        count: number(row, 13)?,
        hours: Vec::new(),
        spike: None,
        opened_at: time(row, 14)?,
        assignee: row.get(15)?,
        resolution,
        ignored,
        regressions: number(row, 23)?,
    })
}

fn occurrence(row: &Row<'_>) -> rusqlite::Result<Occurrence> {
    let causes: String = row.get(5)?;
    Ok(Occurrence {
        at: time(row, 0)?,
        instance: optional_word(row, 1)?,
        client: row.get(2)?,
        correlation: optional_word(row, 3)?,
        message: row.get(4)?,
        causes: serde_json::from_str(&causes).unwrap_or_default(),
        context: row.get(6)?,
    })
}
