//! Attestations: given, revoked once, never changed otherwise; the evidence that was shown lies beside them.
use super::{
    Store, StoreError, StoreErrorKind,
    audit::Effect,
    columns::{from_time, number, optional_time, time, word},
    error::{Result, Trouble},
};
use crate::domain::{Act, Attestation, EvidenceFile};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

/// In force at once. It bounds what a run and a list must hold.
const MOST: u32 = 1_000;
const COLUMNS: &str =
    "id, item, fingerprint, environment, release, given_by, principal, uid, note, evidence_name,
    evidence_sha256, ifnull(length(evidence), 0), attested_at, expires_at, revoked_at";

impl Store {
    /// Returns it with its number; the one it came with is not looked at. `content` is that of its evidence.
    pub async fn add_attestation(
        &self,
        act: Act,
        attestation: Attestation,
        content: Option<Vec<u8>>,
    ) -> Result<Attestation> {
        self.act("keep an attestation", act, move |connection| {
            let in_force: u32 = connection
                .prepare_cached(
                    "SELECT count(*) FROM attestations WHERE revoked_at IS NULL AND expires_at > ?1",
                )?
                .query_row([from_time(attestation.attested_at)?], |row| number(row, 0))?;
            if in_force >= MOST {
                return Err(said(format!("cannot keep an attestation: {in_force} are in force already")));
            }
            let evidence = attestation.evidence.as_ref();
            let id = connection
                .prepare_cached(
                    "INSERT INTO attestations (item, fingerprint, environment, release, given_by, principal, uid,
                     note, evidence_name, evidence_sha256, evidence, attested_at, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id",
                )?
                .query_row(
                    params![
                        attestation.item,
                        attestation.fingerprint,
                        attestation.environment,
                        attestation.release,
                        attestation.by,
                        attestation.principal.to_string(),
                        attestation.uid,
                        attestation.note,
                        evidence.map(|file| &file.name),
                        evidence.map(|file| &file.sha256),
                        content,
                        from_time(attestation.attested_at)?,
                        from_time(attestation.expires_at)?,
                    ],
                    |row| number(row, 0),
                )?;
            let until = attestation.expires_at.strftime("%Y-%m-%d %H:%MZ");
            let said = format!("{} of {} until {until}", attestation.item, attestation.environment);
            let kept = Attestation { id, revoked_at: None, ..attestation };
            Ok(Effect::on(format!("attestation/{id}"), kept).because(said))
        })
        .await
    }

    /// Ends it before its time. None if there is no such attestation; refuses one that lapsed already (Conflict).
    pub async fn revoke_attestation(&self, act: Act, id: u64) -> Result<Option<Attestation>> {
        let now = self.clock().now();
        self.act("revoke an attestation", act, move |connection| {
            let Ok(number) = i64::try_from(id) else { return Ok(Effect::none(None)) };
            let known = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM attestations WHERE id = ?1"))?
                .query_row([number], attestation)
                .optional()?;
            let Some(known) = known else { return Ok(Effect::none(None)) };
            if known.revoked_at.is_some() || known.expires_at <= now {
                let how = if known.revoked_at.is_some() { "is revoked" } else { "has expired" };
                return Err(said(format!("cannot revoke attestation {id}: it {how} already")));
            }
            connection
                .prepare_cached("UPDATE attestations SET revoked_at = ?2 WHERE id = ?1")?
                .execute(params![number, from_time(now)?])?;
            let item = known.item.clone();
            let revoked = Attestation { revoked_at: Some(now), ..known };
            Ok(Effect::on(format!("attestation/{id}"), Some(revoked)).because(item))
        })
        .await
    }

    /// In the order they were given: all that retention left, or those that had not lapsed at `since`.
    pub async fn attestations(&self, since: Option<Timestamp>) -> Result<Vec<Attestation>> {
        self.read("list attestations", move |connection| {
            let since = since.map(from_time).transpose()?.unwrap_or(i64::MIN);
            let mut query = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM attestations WHERE min(expires_at, ifnull(revoked_at, expires_at)) > ?1
                 ORDER BY id"
            ))?;
            let rows = query.query_map([since], attestation)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One with what was shown for it.
    pub async fn attestation(&self, id: u64) -> Result<Option<(Attestation, Option<Vec<u8>>)>> {
        self.read("read an attestation", move |connection| {
            let Ok(number) = i64::try_from(id) else { return Ok(None) };
            Ok(connection
                .prepare_cached(&format!("SELECT {COLUMNS}, evidence FROM attestations WHERE id = ?1"))?
                .query_row([number], |row| Ok((attestation(row)?, row.get(15)?)))
                .optional()?)
        })
        .await
    }
}

fn attestation(row: &Row<'_>) -> rusqlite::Result<Attestation> {
    let (name, sha256): (Option<String>, Option<String>) = (row.get(9)?, row.get(10)?);
    let bytes = number(row, 11)?;
    Ok(Attestation {
        id: number(row, 0)?,
        item: row.get(1)?,
        fingerprint: row.get(2)?,
        environment: row.get(3)?,
        release: row.get(4)?,
        by: row.get(5)?,
        principal: word(row, 6)?,
        uid: number(row, 7)?,
        note: row.get(8)?,
        evidence: name.zip(sha256).map(|(name, sha256)| EvidenceFile { name, sha256, bytes }),
        attested_at: time(row, 12)?,
        expires_at: time(row, 13)?,
        revoked_at: optional_time(row, 14)?,
    })
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message)
            .hint("`agentctl deploy-check attest list --all` shows them"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::RetentionSettings,
        domain::Principal,
        store::scratch::{Scratch, act},
    };
    use jiff::SignedDuration;

    fn given(hours: i64) -> Attestation {
        let now = Timestamp::now();
        Attestation {
            id: 0,
            item: "restore-read".into(),
            fingerprint: "ab12".into(),
            environment: "staging".into(),
            release: Some("r7".into()),
            by: "ana".into(),
            principal: Principal::user(1000),
            uid: 1000,
            note: "the plan was read aloud".into(),
            evidence: Some(EvidenceFile { name: "minutes.txt".into(), sha256: "cd".into(), bytes: 5 }),
            attested_at: now - SignedDuration::from_hours(1),
            expires_at: now + SignedDuration::from_hours(hours),
            revoked_at: None,
        }
    }

    #[tokio::test]
    async fn what_was_given_is_there_after_a_reopen_word_for_word_and_byte_for_byte() {
        let store = Scratch::new();
        let content = b"\0\xffabc".to_vec();
        let one = store.add_attestation(act(), given(5), Some(content.clone())).await.expect("kept");
        let bare = Attestation { evidence: None, release: None, ..given(5) };
        let two = store.add_attestation(act(), bare.clone(), None).await.expect("kept");
        assert_eq!((one.id, two.clone()), (1, Attestation { id: 2, ..bare }));
        let store = store.reopen().await;
        assert_eq!(store.attestations(None).await.expect("read"), [one.clone(), two.clone()]);
        assert_eq!(store.attestation(1).await.expect("read"), Some((one, Some(content))));
        assert_eq!(store.attestation(2).await.expect("read"), Some((two, None)));
        assert_eq!(store.attestation(u64::MAX).await.expect("read"), None);
    }

    #[tokio::test]
    async fn it_is_revoked_once_and_not_after_it_expired_and_goes_with_its_time() {
        let store = Scratch::new();
        let shown = || Some(b"minute".to_vec());
        let one = store.add_attestation(act(), given(5), shown()).await.expect("kept");
        let lapsed = Attestation {
            attested_at: given(0).attested_at - SignedDuration::from_hours(9),
            expires_at: given(0).attested_at,
            ..given(0)
        };
        let old = store.add_attestation(act(), lapsed, shown()).await.expect("kept");
        let revoked = store.revoke_attestation(act(), one.id).await.expect("revoked").expect("it is there");
        assert!(revoked.revoked_at.is_some());
        for (id, how) in [(one.id, "revoked already"), (old.id, "expired already")] {
            let error = store.revoke_attestation(act(), id).await.expect_err("refused");
            assert_eq!(error.kind, StoreErrorKind::Conflict);
            assert!(error.message.contains(how) && error.hint.is_some(), "{error:?}");
        }
        assert_eq!(store.revoke_attestation(act(), 77).await.expect("asked"), None);
        let now = Timestamp::now() + SignedDuration::from_hours(1);
        assert_eq!(store.attestations(Some(now)).await.expect("read"), []);
        let retention = |hours: u64| RetentionSettings {
            attestations: crate::domain::Period::secs(hours * 3600),
            ..RetentionSettings::default()
        };
        store.prune(retention(2)).await.expect("pruned");
        assert_eq!(store.attestations(None).await.expect("read").len(), 2, "pruned before its time");
        store.prune(retention(0)).await.expect("pruned");
        assert_eq!(store.attestations(None).await.expect("read"), []);
    }

    #[tokio::test]
    async fn the_file_itself_refuses_what_nobody_answers_for() {
        let store = Scratch::new();
        let agent = "agent:orders".parse().expect("a principal");
        let shown = || Some(b"minute".to_vec());
        for (wrong, content) in [
            (Attestation { by: "  ".into(), ..given(1) }, shown()),
            (Attestation { note: String::new(), ..given(1) }, shown()),
            (Attestation { fingerprint: String::new(), ..given(1) }, shown()),
            (Attestation { expires_at: given(1).attested_at, ..given(1) }, shown()),
            (Attestation { principal: agent, ..given(1) }, shown()),
            (given(1), None),
            (Attestation { evidence: None, ..given(1) }, shown()),
            (given(1), Some(vec![0; (1 << 20) + 1])),
        ] {
            assert!(store.add_attestation(act(), wrong.clone(), content).await.is_err(), "{wrong:?}");
        }
        assert_eq!(store.attestations(None).await.expect("read"), []);
    }
}
