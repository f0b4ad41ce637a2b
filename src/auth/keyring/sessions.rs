//! How sessions come and go: opened from a key or by a user, never from another session, which they would outlive.
use super::{Keyring, keys::not_an_agent};
use crate::{
    auth::token::{self, Minted, TokenKind},
    domain::{Act, Caller, Fault, FaultKind, Holds, Means, Principal, Session},
    store::HashedSession,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

impl Keyring {
    pub async fn open_session(&self, caller: &Caller, act: Act) -> Result<(Session, SecretString), Fault> {
        not_an_agent(caller)?;
        let key = match &caller.means {
            Means::Socket => None,
            Means::Key(id) => Some(id.clone()),
            Means::Session(_) => {
                return Err(Fault::new(FaultKind::Refused, "cannot open a session from a session")
                    .hint("`agentctl auth logout` ends this one; then log in as you did"));
            }
        };
        let (now, settings) = (self.0.clock.now(), self.0.settings.borrow().sessions.clone());
        let length = SignedDuration::try_from(settings.absolute.0).unwrap_or(SignedDuration::MAX);
        let by_settings = now.checked_add(length).unwrap_or(Timestamp::MAX);
        let ends = match &key {
            // It would be void from then on; who asks when it ends is told so at once.
            Some(key) => self.key(key).await?.expires_at.map_or(by_settings, |end| end.min(by_settings)),
            None => by_settings,
        };
        let Minted { id, token, hash } = token::mint(TokenKind::Session)?;
        let session = Session {
            id,
            principal: caller.principal.clone(),
            role: caller.role,
            key,
            uid: caller.identity.uid,
            gid: caller.identity.gid,
            opened_at: now,
            expires_at: ends,
            last_used_at: now,
            ended_at: None,
        };
        let store = self.0.store.clone();
        let opened = HashedSession { session, hash };
        let opened =
            self.change(async move { store.open_session(opened, settings.per_principal, act).await }).await?;
        Ok((opened, token))
    }

    /// The one that the caller shows.
    pub async fn close_session(&self, caller: &Caller, act: Act) -> Result<String, Fault> {
        let Means::Session(id) = &caller.means else {
            return Err(Fault::usage("cannot log out: no session was shown")
                .hint("`agentctl auth whoami` says how you are known; keys are revoked, not logged out"));
        };
        self.end_session(id, act).await?;
        Ok(id.clone())
    }

    pub async fn end_session(&self, id: &str, act: Act) -> Result<(), Fault> {
        let (store, now, asked) = (self.0.store.clone(), self.0.clock.now(), id.to_owned());
        if self.change(async move { store.end_session(asked, now, act).await }).await? {
            return Ok(());
        }
        let id: String = id.chars().take(40).collect();
        Err(Fault::not_found(format!("cannot end session {}: none is open", id.escape_debug()))
            .hint("`agentctl auth session list` shows them"))
    }

    pub async fn end_sessions_of(&self, principal: Principal, act: Act) -> Result<u64, Fault> {
        let (store, now) = (self.0.store.clone(), self.0.clock.now());
        self.change(async move { store.end_sessions_of(principal, now, act).await }).await
    }

    /// With how each stands, oldest first; with `all`, those that are over too.
    pub async fn sessions(&self, all: bool) -> Result<Vec<(Session, Holds)>, Fault> {
        let ring = self.ring().await?;
        let since = if all { Timestamp::UNIX_EPOCH } else { self.0.clock.now() };
        let kept = self.0.store.sessions(since).await?;
        let told = kept.into_iter().map(|held| {
            let holds = self.holds(&ring, &held.session);
            let last = self.last_use(&held.session.id, Some(held.session.last_used_at));
            (Session { last_used_at: last.unwrap_or(held.session.last_used_at), ..held.session }, holds)
        });
        Ok(told.filter(|(_, holds)| all || *holds == Holds::InForce).collect())
    }
}
