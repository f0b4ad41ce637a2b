//! What each principal has used of its hours. A block is reserved here before any request of it is served, so that a
//! crash can forfeit what is left of one block and can never give a second quota.
use super::{
    Store,
    audit::Effect,
    columns::{integer, number, word},
    error::Result,
};
use crate::domain::{Act, Principal};
use rusqlite::{Connection, OptionalExtension, params};

/// No answer is longer: principals are named by operators.
const MOST: u32 = 10_000;

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The hour that it is of: later than the one that was asked for, where the clock was put back.
    pub hour: i64,
    /// What had been reserved of that hour before.
    pub before: u64,
    /// How many more may be served now; 0 where the hour is used up.
    pub granted: u64,
}

/// What was reserved of one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaHour {
    pub principal: Principal,
    /// Since 1970.
    pub hour: i64,
    pub reserved: u64,
}

impl Store {
    /// Reserves `block` more, or what is left up to `limit`. The answer comes when that is on the disk. Never of an
    /// hour before the newest that is known: a clock that was put back gives nobody a second quota.
    pub async fn reserve_quota(
        &self,
        principal: Principal,
        hour: i64,
        block: u64,
        limit: u64,
    ) -> Result<Reserved> {
        self.write("reserve a part of a quota", move |connection| {
            let newest: Option<i64> =
                connection.prepare_cached("SELECT max(hour) FROM quotas")?.query_row([], |row| row.get(0))?;
            let (name, hour) = (principal.to_string(), newest.map_or(hour, |newest| newest.max(hour)));
            let before: u64 = connection
                .prepare_cached("SELECT reserved FROM quotas WHERE principal = ?1 AND hour = ?2")?
                .query_row(params![name, hour], |row| number(row, 0))
                .optional()?
                .unwrap_or(0);
            let granted = block.min(limit.saturating_sub(before));
            if granted > 0 {
                connection
                    .prepare_cached(
                        "INSERT INTO quotas (principal, hour, reserved) VALUES (?1, ?2, ?3)
                         ON CONFLICT (principal, hour) DO UPDATE SET reserved = ?3",
                    )?
                    .execute(params![name, hour, integer(before + granted)?])?;
            }
            Ok(Reserved { hour, before, granted })
        })
        .await
    }

    /// What was reserved and will not be served by this process any more.
    pub async fn return_quota(&self, principal: Principal, hour: i64, unused: u64) -> Result<()> {
        self.write("return a part of a quota", move |connection| {
            connection
                .prepare_cached(
                    "UPDATE quotas SET reserved = reserved - ?3
                     WHERE principal = ?1 AND hour = ?2 AND reserved >= ?3",
                )?
                .execute(params![principal.to_string(), hour, integer(unused)?])?;
            Ok(())
        })
        .await
    }

    /// The clock was put back: what it calls this hour and those to come is not what it called so before.
    pub async fn forget_quotas_from(&self, hour: i64) -> Result<()> {
        self.write("forget quotas of hours to come", move |connection| {
            connection.prepare_cached("DELETE FROM quotas WHERE hour >= ?1")?.execute([hour])?;
            Ok(())
        })
        .await
    }

    /// Makes a principal's hour whole again.
    pub async fn reset_quota(&self, principal: Principal, hour: i64, act: Act) -> Result<()> {
        self.act("reset a quota", act, move |connection| {
            let name = principal.to_string();
            connection
                .prepare_cached("DELETE FROM quotas WHERE principal = ?1 AND hour >= ?2")?
                .execute(params![name, hour])?;
            Ok(Effect::on(format!("quota/{name}"), ()))
        })
        .await
    }

    /// What was reserved of one hour, by whom; or of the newest hours by one.
    pub async fn quotas_of_hour(&self, hour: i64) -> Result<Vec<QuotaHour>> {
        self.read("read quotas", move |connection| {
            rows(connection, "WHERE hour = ?1 ORDER BY principal LIMIT ?2", params![hour, MOST])
        })
        .await
    }

    pub async fn quotas_of(&self, principal: Principal, newest: u32) -> Result<Vec<QuotaHour>> {
        self.read("read quotas", move |connection| {
            let name = principal.to_string();
            rows(connection, "WHERE principal = ?1 ORDER BY hour DESC LIMIT ?2", params![name, newest])
        })
        .await
    }
}

fn rows(
    connection: &Connection,
    which: &str,
    parameters: impl rusqlite::Params,
) -> super::error::Answer<Vec<QuotaHour>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT principal, hour, reserved FROM quotas {which}"))?;
    let rows = query.query_map(parameters, |row| {
        Ok(QuotaHour { principal: word(row, 0)?, hour: row.get(1)?, reserved: number(row, 2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{AuditOutcome, CorrelationId},
        store::scratch::Scratch,
    };
    use futures_util::future::join_all;

    fn orders() -> Principal {
        "agent:orders".parse().expect("a principal")
    }

    fn reserved(hour: i64, before: u64, granted: u64) -> Reserved {
        Reserved { hour, before, granted }
    }

    #[tokio::test]
    async fn blocks_add_up_to_the_limit_and_no_further_even_over_a_restart() {
        let store = Scratch::new();
        let other: Principal = "agent:other".parse().expect("a principal");
        assert_eq!(store.reserve_quota(orders(), 7, 40, 100).await.expect("written"), reserved(7, 0, 40));
        assert_eq!(store.reserve_quota(orders(), 7, 40, 100).await.expect("written"), reserved(7, 40, 40));
        assert_eq!(store.reserve_quota(other.clone(), 7, 1, 1).await.expect("written"), reserved(7, 0, 1));
        let store = store.reopen().await;
        assert_eq!(store.reserve_quota(orders(), 7, 40, 100).await.expect("written"), reserved(7, 80, 20));
        assert_eq!(store.reserve_quota(orders(), 7, 40, 100).await.expect("asked"), reserved(7, 100, 0));
        // A limit that was lowered meanwhile gives nothing, and one that was raised the difference.
        assert_eq!(store.reserve_quota(orders(), 7, 40, 50).await.expect("asked"), reserved(7, 100, 0));
        assert_eq!(store.reserve_quota(orders(), 7, 40, 110).await.expect("written"), reserved(7, 100, 10));
        store.return_quota(orders(), 7, 15).await.expect("returned");
        assert_eq!(store.reserve_quota(orders(), 7, 40, 110).await.expect("written"), reserved(7, 95, 15));
        assert_eq!(store.reserve_quota(orders(), 8, 40, 110).await.expect("written"), reserved(8, 0, 40));
        let of = store.quotas_of(orders(), 9).await.expect("read");
        assert_eq!(of.iter().map(|row| (row.hour, row.reserved)).collect::<Vec<_>>(), [(8, 40), (7, 110)]);
        let hour = store.quotas_of_hour(7).await.expect("read");
        assert_eq!(hour.iter().map(|row| &row.principal).collect::<Vec<_>>(), [&orders(), &other]);
    }

    #[tokio::test]
    async fn reservations_at_once_never_overlap() {
        let store = Scratch::new();
        let asked = (0..64).map(|_| store.reserve_quota(orders(), 1, 7, 100));
        let mut granted: Vec<_> =
            join_all(asked).await.into_iter().map(|reserved| reserved.expect("answered")).collect();
        granted.sort_by_key(|reserved| (reserved.before, std::cmp::Reverse(reserved.granted)));
        let mut next = 0;
        for reserved in &granted {
            assert_eq!(reserved.before, next, "{granted:?}");
            next += reserved.granted;
        }
        assert_eq!(next, 100);
    }

    #[tokio::test]
    async fn an_hour_before_the_newest_is_never_given_again_until_it_is_forgotten() {
        let store = Scratch::new();
        store.reserve_quota(orders(), 10, 100, 100).await.expect("written");
        assert_eq!(store.reserve_quota(orders(), 5, 1, 100).await.expect("asked"), reserved(10, 100, 0));
        let other: Principal = "user:7".parse().expect("a principal");
        assert_eq!(store.reserve_quota(other, 9, 1, 100).await.expect("asked"), reserved(10, 0, 1));
        store.forget_quotas_from(5).await.expect("forgotten");
        assert_eq!(store.reserve_quota(orders(), 5, 1, 100).await.expect("asked"), reserved(5, 0, 1));
    }

    #[tokio::test]
    async fn a_reset_leaves_its_row_and_earlier_hours() {
        let store = Scratch::new();
        for hour in [3, 4] {
            store.reserve_quota(orders(), hour, 100, 100).await.expect("written");
        }
        let act = Act {
            principal: "user:0".parse().expect("a principal"),
            from: "uid 0 by socket".into(),
            action: "quotas/reset",
            object: String::new(),
            correlation: CorrelationId(1),
        };
        store.reset_quota(orders(), 4, act).await.expect("reset");
        let row = store.audit_events(0, 9).await.expect("read").pop().expect("a row");
        assert_eq!((row.object.as_str(), row.outcome), ("quota/agent:orders", AuditOutcome::Done));
        let left = store.quotas_of(orders(), 9).await.expect("read");
        assert_eq!(left.iter().map(|row| row.hour).collect::<Vec<_>>(), [3]);
    }

    #[tokio::test]
    async fn hours_past_retention_go() {
        let store = Scratch::new();
        let now = jiff::Timestamp::now().as_second().div_euclid(3600);
        for hour in [now - 300, now - 2, now] {
            store.reserve_quota(orders(), hour, 1, 10).await.expect("written");
        }
        let kept = crate::config::RetentionSettings {
            quotas: crate::domain::Period::secs(24 * 3600),
            ..crate::config::RetentionSettings::default()
        };
        assert_eq!(store.prune(kept).await.expect("pruned"), 1);
        assert_eq!(store.quotas_of(orders(), 9).await.expect("read").len(), 2);
    }
}
