//! What somebody does about a group: resolve, ignore, assign, reopen. Each with its row in the audit trail.
use super::look::by_id;
use crate::{
    domain::{Act, ErrorGroup, ErrorState, Ignored},
    store::{
        Store, StoreError, StoreErrorKind,
        audit::Effect,
        columns::{from_time, integer},
        error::{Answer, Result, Trouble},
    },
};
use jiff::Timestamp;
use rusqlite::{Connection, params};

impl Store {
    /// False if there is no such group. Refuses one that is resolved already (Conflict).
    pub async fn resolve_error(&self, id: u64, note: String, act: Act) -> Result<bool> {
        let (now, by) = (self.clock().now(), act.principal.to_string());
        self.change("resolve an error", id, act, move |connection, group| {
            if group.state == ErrorState::Resolved {
                return Err(said(format!("cannot resolve error {id}: it is resolved already")));
            }
            let took = now.duration_since(group.opened_at).as_secs().max(0);
            connection
                .prepare_cached(
                    "UPDATE error_groups SET state = 'resolved', resolved_at = ?2, resolved_by = ?3,
                     resolved_note = ?4, resolved_took_s = ?5, ignored_until = NULL, ignored_until_count = NULL,
                     ignored_note = NULL WHERE id = ?1",
                )?
                .execute(params![integer(id)?, from_time(now)?, by, note, took])?;
            Ok(())
        })
        .await
    }

    /// Until then, or until so many more; with neither, until somebody reopens it. `ignored.until_count` is of more.
    pub async fn ignore_error(&self, id: u64, ignored: Ignored, act: Act) -> Result<bool> {
        self.change("ignore an error", id, act, move |connection, group| {
            let until_count = ignored.until_count.map(|more| group.count.saturating_add(more));
            connection
                .prepare_cached(
                    "UPDATE error_groups SET state = 'ignored', ignored_until = ?2, ignored_until_count = ?3,
                     ignored_note = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    integer(id)?,
                    ignored.until.map(from_time).transpose()?,
                    until_count.map(integer).transpose()?,
                    ignored.note
                ])?;
            Ok(())
        })
        .await
    }

    /// To somebody, or to nobody.
    pub async fn assign_error(&self, id: u64, to: Option<String>, act: Act) -> Result<bool> {
        self.change("assign an error", id, act, move |connection, _| {
            connection
                .prepare_cached("UPDATE error_groups SET assignee = ?2 WHERE id = ?1")?
                .execute(params![integer(id)?, to])?;
            Ok(())
        })
        .await
    }

    /// Refuses one that is open (Conflict).
    pub async fn reopen_error(&self, id: u64, act: Act) -> Result<bool> {
        let now: Timestamp = self.clock().now();
        self.change("reopen an error", id, act, move |connection, group| {
            if group.state.is_open() {
                return Err(said(format!("cannot reopen error {id}: it is {} already", group.state)));
            }
            connection
                .prepare_cached(
                    "UPDATE error_groups SET state = 'open', opened_at = ?2, ignored_until = NULL,
                     ignored_until_count = NULL, ignored_note = NULL WHERE id = ?1",
                )?
                .execute(params![integer(id)?, from_time(now)?])?;
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        what: &'static str,
        id: u64,
        act: Act,
        change: impl FnOnce(&Connection, &ErrorGroup) -> Answer<()> + Send + 'static,
    ) -> Result<bool> {
        self.act(what, act, move |connection| {
            let Some(group) = by_id(connection, id)? else { return Ok(Effect::none(false)) };
            change(connection, &group)?;
            Ok(Effect::on(format!("error/{id}"), true))
        })
        .await
    }
}

fn said(message: String) -> Trouble {
    Trouble::Said(
        StoreError::new(StoreErrorKind::Conflict, message).hint("`agentctl error list --all` shows them"),
    )
}
