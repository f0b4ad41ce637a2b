//! Breakers: one row each, as it stands. What an operator does to one is written together with its row in the trail.
use super::{
    Store,
    audit::Effect,
    columns::{from_time, from_word, integer, number, time, word},
    error::Result,
    events,
};
use crate::domain::{Act, BreakerRecord, BreakerState, BreakerTrip, Event, EventKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "name, state, since, opened_at, why, by, reason, opened";

impl Store {
    /// How it stands now, by itself. It is told of where it opened or closed: a trial that fails is no news.
    pub async fn keep_breaker(&self, breaker: BreakerRecord) -> Result<()> {
        self.write("keep how a breaker stands", move |connection| {
            let known = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM breakers WHERE name = ?1"))?
                .query_row([&breaker.name], record)
                .optional()?;
            if known.as_ref() == Some(&breaker) {
                return Ok(());
            }
            put(connection, &breaker)?;
            let same =
                known.is_some_and(|known| (known.state, known.since) == (breaker.state, breaker.since));
            if !same {
                tell(connection, &breaker)?;
            }
            Ok(())
        })
        .await
    }

    /// An operator holds it open, or closes it.
    pub async fn set_breaker(&self, breaker: BreakerRecord, act: Act) -> Result<()> {
        self.act("set a breaker", act, move |connection| {
            put(connection, &breaker)?;
            tell(connection, &breaker)?;
            Ok(Effect::on(format!("breaker/{}", breaker.name), ()))
        })
        .await
    }

    /// By name.
    pub async fn breakers(&self) -> Result<Vec<BreakerRecord>> {
        self.read("read how breakers stood", |connection| {
            let mut query =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM breakers ORDER BY name"))?;
            let rows = query.query_map([], record)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn put(connection: &Connection, breaker: &BreakerRecord) -> rusqlite::Result<()> {
    let trip = breaker.tripped.as_ref();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO breakers (name, state, since, opened_at, why, by, reason, opened)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            breaker.name,
            from_word(breaker.state)?,
            from_time(breaker.since)?,
            from_time(breaker.opened_at)?,
            breaker.why,
            trip.map(|trip| &trip.by),
            trip.map(|trip| &trip.reason),
            integer(breaker.opened)?,
        ])
        .map(drop)
}

fn tell(connection: &Connection, breaker: &BreakerRecord) -> rusqlite::Result<()> {
    let name = &breaker.name;
    let (kind, text) = match (breaker.state, &breaker.tripped, &breaker.why) {
        (BreakerState::Closed, ..) => (EventKind::BreakerClosed, format!("breaker {name} is closed")),
        (_, Some(trip), _) => {
            (EventKind::BreakerOpened, format!("breaker {name} is held open by {}: {}", trip.by, trip.reason))
        }
        (_, None, why) => {
            let why = why.as_deref().unwrap_or("its failures");
            (EventKind::BreakerOpened, format!("breaker {name} is open: {why}"))
        }
    };
    events::insert(connection, Event { seq: 0, at: breaker.since, kind, instance: None, text })
}

fn record(row: &Row<'_>) -> rusqlite::Result<BreakerRecord> {
    let (by, reason): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
    Ok(BreakerRecord {
        name: row.get(0)?,
        state: word(row, 1)?,
        since: time(row, 2)?,
        opened_at: time(row, 3)?,
        why: row.get(4)?,
        tripped: by.zip(reason).map(|(by, reason)| BreakerTrip { by, reason }),
        opened: number(row, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{AuditOutcome, Caller, Identity, Role},
        store::scratch::Scratch,
    };
    use jiff::Timestamp;

    fn open() -> BreakerRecord {
        BreakerRecord {
            name: "orders-db".into(),
            state: BreakerState::Open,
            since: Timestamp::from_second(5).expect("a time"),
            opened_at: Timestamp::from_second(5).expect("a time"),
            why: Some("connection refused".into()),
            tripped: None,
            opened: 3,
        }
    }

    fn act() -> Act {
        let identity = Identity { uid: 1000, gid: 1000, pid: None };
        Act::new(&Caller::by_socket(identity, Role::Operator, None), "breakers/trip", "")
    }

    #[tokio::test]
    async fn it_reads_back_after_a_restart_and_is_told_of_once() {
        let store = Scratch::new();
        let again = BreakerRecord { opened_at: Timestamp::from_second(9).expect("a time"), ..open() };
        for breaker in [open(), open(), again.clone()] {
            store.keep_breaker(breaker).await.expect("kept");
        }
        let store = store.reopen().await;
        assert_eq!(store.breakers().await.expect("read"), [again]);
        let events = store.events(0, 9).await.expect("read");
        assert_eq!(events.len(), 1, "a trial that fails is no news: {events:?}");
        assert_eq!(events[0].text, "breaker orders-db is open: connection refused");
        let on_trial = BreakerRecord { state: BreakerState::HalfOpen, ..open() };
        assert!(store.keep_breaker(on_trial).await.is_err(), "it is open until that went well");
    }

    #[tokio::test]
    async fn what_is_done_by_hand_is_in_the_trail_and_what_is_not_is_not() {
        let store = Scratch::new();
        store.keep_breaker(open()).await.expect("kept");
        assert_eq!(store.audit_events(0, 9).await.expect("read"), []);
        let trip = Some(BreakerTrip { by: "user:1000".into(), reason: "maintenance".into() });
        let tripped = BreakerRecord { tripped: trip, ..open() };
        store.set_breaker(tripped.clone(), act()).await.expect("set");
        let trail = store.audit_events(0, 9).await.expect("read");
        assert_eq!((trail.len(), trail[0].object.as_str()), (1, "breaker/orders-db"));
        assert_eq!((trail[0].action.as_str(), trail[0].outcome), ("breakers/trip", AuditOutcome::Done));
        assert_eq!(store.breakers().await.expect("read"), std::slice::from_ref(&tripped));
        // What the file refuses leaves no row of its being done.
        let groundless = BreakerTrip { by: "user:1000".into(), reason: " ".into() };
        let refused = BreakerRecord { tripped: Some(groundless), ..open() };
        assert!(store.set_breaker(refused, act()).await.is_err());
        assert_eq!(store.audit_events(0, 9).await.expect("read").len(), 1);
        assert_eq!(store.breakers().await.expect("read"), [tripped]);
    }
}
