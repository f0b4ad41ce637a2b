//! A copy of the database that is to live beside its original: under an identity of its own, so that no process of the
//! original's fleet is ever taken for one of the copy's.
use super::{
    columns::from_time,
    error::{Answer, Result},
};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// How the names begin under which a copy keeps the uids of the original's agents, so that none of its own gets one.
pub const FORMER: &str = "former-holder-of.";

/// Changes `copy`, which nobody has open. Blocks.
pub fn set_apart(copy: &Path, now: jiff::Timestamp) -> Result<()> {
    let what = "set a copy of the database apart";
    let set = || -> Answer<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(copy, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            "UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'fleet_id';
             DELETE FROM instances;
             DELETE FROM desires;",
        )?;
        transaction.execute(
            "UPDATE uids SET agent = ?1 || uid, gone_at = ?2",
            rusqlite::params![FORMER, from_time(now)?],
        )?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    };
    set().map_err(|trouble| trouble.of(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::StoreSettings,
        domain::{Desire, UidGrant},
        resilience::Clock,
        store::{AuditFiles, carry_over, scratch::Scratch},
    };
    use jiff::Timestamp;

    #[tokio::test]
    async fn a_copy_that_is_set_apart_knows_no_process_and_gives_nobody_the_uid_of_a_living_agent() {
        let live = Scratch::new();
        let name = "orders".parse().expect("a name");
        let grant = UidGrant { agent: "orders".parse().expect("a name"), uid: 61_200, gone_at: None };
        live.save_uids(vec![grant]).await.expect("kept");
        live.set_desire(name, Desire { stopped: true, replicas: Some(3) }).await.expect("kept");
        let home = tempfile::tempdir().expect("a directory");
        live.copy_to(home.path().to_owned(), Box::new(|_, _| true)).await.expect("copied");
        let database = AuditFiles::of(home.path()).database;
        carry_over(&database, Some(&live.path()), Timestamp::now()).expect("carried");
        set_apart(&database, Timestamp::now()).expect("set apart");
        let copy = crate::store::Store::open(
            &database,
            &home.path().join("b"),
            &StoreSettings::default(),
            Clock::system(),
        )
        .expect("opens");
        assert_ne!(copy.fleet_id(), live.fleet_id());
        assert_eq!(copy.fleet_id().len(), 32);
        let kept = copy.kept_of_agents().await.expect("read");
        assert!(kept.instances.is_empty() && kept.desires.is_empty());
        let [former] = &kept.uids[..] else { panic!("{:?}", kept.uids) };
        assert_eq!((former.agent.as_str(), former.uid), ("former-holder-of.61200", 61_200));
        assert!(former.gone_at.is_some());
        // The trail is the live one's, and whole.
        assert!(copy.verify_audit().await.expect("verified").whole);
        copy.close().await;
        assert_eq!(live.kept_of_agents().await.expect("read").uids[0].agent.as_str(), "orders");
    }
}
