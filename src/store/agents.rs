//! What must outlive the daemon of an agent: the processes it spawned, and what the operator wished.
use super::{
    Store,
    columns::{from_time, integer, number, optional_word, time},
    error::Result,
};
use crate::domain::{AgentName, Desire, InstanceId, InstanceRecord, UidGrant};
use rusqlite::{Connection, Row, params, types::Type};

/// What a daemon that ended left of its agents.
pub struct KeptOfAgents {
    /// By agent and replica.
    pub instances: Vec<InstanceRecord>,
    /// By agent.
    pub desires: Vec<(AgentName, Desire)>,
    /// By agent.
    pub uids: Vec<UidGrant>,
}

impl Store {
    /// All three tables at one moment. Asked of the writer, since at boot no reader is open yet.
    pub async fn kept_of_agents(&self) -> Result<KeptOfAgents> {
        self.write("read what is kept of agents", |connection| {
            Ok(KeptOfAgents {
                instances: instances(connection)?,
                desires: desires(connection)?,
                uids: uids(connection)?,
            })
        })
        .await
    }

    /// By agent and replica.
    pub async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.read("read the instances", |connection| Ok(instances(connection)?)).await
    }

    pub async fn save_instance(&self, record: InstanceRecord) -> Result<()> {
        self.write("save an instance", move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO instances
                     (agent, replica, pid, pid_start, boot_id, started_at, port, spec_digest, was_ready, release)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    record.id.agent.as_str(),
                    record.id.index,
                    record.pid,
                    integer(record.pid_start)?,
                    record.boot_id,
                    from_time(record.started_at)?,
                    record.port,
                    record.spec_digest,
                    record.was_ready,
                    record.release.map(|release| release.to_string()),
                ])?;
            Ok(())
        })
        .await
    }

    /// Forgetting what is not there is no failure.
    pub async fn forget_instance(&self, id: InstanceId) -> Result<()> {
        self.write("forget an instance", move |connection| {
            connection
                .prepare_cached("DELETE FROM instances WHERE agent = ?1 AND replica = ?2")?
                .execute(params![id.agent.as_str(), id.index])?;
            Ok(())
        })
        .await
    }

    /// The default desire is the manifest's own, and is not kept.
    pub async fn set_desire(&self, agent: AgentName, desire: Desire) -> Result<()> {
        self.write("keep what was asked of an agent", move |connection| {
            if desire == Desire::default() {
                connection
                    .prepare_cached("DELETE FROM desires WHERE agent = ?1")?
                    .execute([agent.as_str()])?;
            } else {
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO desires (agent, stopped, replicas) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![agent.as_str(), desire.stopped, desire.replicas])?;
            }
            Ok(())
        })
        .await
    }

    /// The whole table: all of it or none.
    pub async fn save_uids(&self, grants: Vec<UidGrant>) -> Result<()> {
        self.write("keep the uids of agents", move |connection| {
            connection.execute("DELETE FROM uids", [])?;
            let mut insert =
                connection.prepare_cached("INSERT INTO uids (agent, uid, gone_at) VALUES (?1, ?2, ?3)")?;
            for grant in &grants {
                let gone = grant.gone_at.map(from_time).transpose()?;
                insert.execute(params![grant.agent.as_str(), grant.uid, gone])?;
            }
            Ok(())
        })
        .await
    }
}

fn instances(connection: &Connection) -> rusqlite::Result<Vec<InstanceRecord>> {
    let mut query = connection.prepare_cached(
        "SELECT agent, replica, pid, pid_start, boot_id, started_at, port, spec_digest, was_ready, release
         FROM instances ORDER BY agent, replica",
    )?;
    query.query_map([], instance)?.collect()
}

fn desires(connection: &Connection) -> rusqlite::Result<Vec<(AgentName, Desire)>> {
    let mut query =
        connection.prepare_cached("SELECT agent, stopped, replicas FROM desires ORDER BY agent")?;
    let desire = |row: &Row<'_>| Ok((name(row)?, Desire { stopped: row.get(1)?, replicas: row.get(2)? }));
    query.query_map([], desire)?.collect()
}

fn uids(connection: &Connection) -> rusqlite::Result<Vec<UidGrant>> {
    let mut query = connection.prepare_cached("SELECT agent, uid, gone_at FROM uids ORDER BY agent")?;
    let rows = query.query_map([], |row| {
        let gone: Option<i64> = row.get(2)?;
        let gone_at = if gone.is_some() { Some(time(row, 2)?) } else { None };
        Ok(UidGrant { agent: name(row)?, uid: row.get(1)?, gone_at })
    })?;
    rows.collect()
}

fn name(row: &Row<'_>) -> rusqlite::Result<AgentName> {
    let text = row.get_ref(0)?.as_str()?;
    text.parse()
        .map_err(|error: String| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}

fn instance(row: &Row<'_>) -> rusqlite::Result<InstanceRecord> {
    Ok(InstanceRecord {
        id: InstanceId::new(name(row)?, row.get(1)?),
        pid: row.get(2)?,
        pid_start: number(row, 3)?,
        boot_id: row.get(4)?,
        started_at: time(row, 5)?,
        port: row.get(6)?,
        spec_digest: row.get(7)?,
        was_ready: row.get(8)?,
        release: optional_word(row, 9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreErrorKind, scratch::Scratch};
    use jiff::Timestamp;

    fn record(id: &str, pid: i32) -> InstanceRecord {
        InstanceRecord {
            id: id.parse().expect("an instance"),
            pid,
            pid_start: 123_456,
            boot_id: "b".into(),
            started_at: Timestamp::new(1_700_000_000, 5).expect("a time"),
            port: Some(8080),
            spec_digest: "d".into(),
            was_ready: true,
            release: None,
        }
    }

    #[tokio::test]
    async fn instances_outlive_the_daemon_and_the_newest_word_counts() {
        let store = Scratch::new();
        for one in
            [record("orders/1", 10), record("orders/0", 11), record("billing/0", 12), record("orders/1", 13)]
        {
            store.save_instance(one).await.expect("saved");
        }
        store.forget_instance("orders/0".parse().expect("an instance")).await.expect("forgotten");
        store.forget_instance("nobody/7".parse().expect("an instance")).await.expect("nothing to do");
        let store = store.reopen().await;
        let kept = store.instances().await.expect("read");
        assert_eq!(kept, [record("billing/0", 12), record("orders/1", 13)]);
    }

    #[tokio::test]
    async fn a_process_that_cannot_be_is_refused() {
        let store = Scratch::new();
        let error = store.save_instance(record("orders/0", 0)).await.expect_err("pid 0 was accepted");
        assert_eq!(error.kind, StoreErrorKind::Conflict);
        let endless = InstanceRecord { pid_start: u64::MAX, ..record("orders/0", 5) };
        assert_eq!(store.save_instance(endless).await.map_err(|e| e.kind), Err(StoreErrorKind::Failed));
        assert_eq!(store.instances().await.expect("read"), []);
    }

    #[tokio::test]
    async fn a_desire_is_kept_until_it_is_the_manifests_again() {
        let store = Scratch::new();
        let (orders, billing): (AgentName, AgentName) =
            ("orders".parse().expect("a name"), "billing".parse().expect("a name"));
        let scaled = Desire { stopped: false, replicas: Some(3) };
        store.set_desire(orders.clone(), Desire { stopped: true, replicas: None }).await.expect("kept");
        store.set_desire(billing.clone(), scaled.clone()).await.expect("kept");
        store.set_desire(orders, Desire::default()).await.expect("dropped");
        let store = store.reopen().await;
        assert_eq!(store.kept_of_agents().await.expect("read").desires, [(billing, scaled)]);
    }
    #[tokio::test]
    async fn uids_are_replaced_whole_and_one_uid_is_one_agents() {
        let store = Scratch::new();
        let grant =
            |agent: &str, uid, gone_at| UidGrant { agent: agent.parse().expect("a name"), uid, gone_at };
        let kept = vec![grant("a", 61_200, None), grant("b", 61_201, Some(Timestamp::UNIX_EPOCH))];
        store.save_uids(kept.clone()).await.expect("kept");
        let twice = vec![grant("c", 61_200, None), grant("d", 61_200, None)];
        assert!(store.save_uids(twice).await.is_err(), "two agents got one uid");
        let store = store.reopen().await;
        assert_eq!(store.kept_of_agents().await.expect("read").uids, kept, "a refused change left something");
    }
}
