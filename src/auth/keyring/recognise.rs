//! Who the bearer of a key or a session is. An unknown id costs what a wrong secret costs: a hash and a comparison.
use super::{
    Refusal, Why,
    ring::{Keyring, Ring},
};
use crate::{
    auth::token::{self, Named, TokenKind},
    domain::{ApiKey, Caller, Clients, Holds, Identity, Means, Principal, PrincipalKind, Role, Session},
};
use secrecy::{ExposeSecret, SecretString};
use std::{net::IpAddr, time::Duration};
use subtle::ConstantTimeEq;

/// How often what has no moment of its own is looked at while a request goes on.
const LOOK: Duration = Duration::from_millis(500);

impl Keyring {
    /// Whatever it shows, an agent stays an agent. `address` is None over a Unix socket, which has none.
    pub async fn recognise(
        &self,
        caller: &Caller,
        address: Option<IpAddr>,
        bearer: &SecretString,
    ) -> Result<Caller, Refusal> {
        let shown = bearer.expose_secret();
        let Named { kind, id } = token::read(shown).map_err(Why::Malformed)?;
        let ring = self.ring().await?;
        let hash = token::hash(shown);
        match kind {
            TokenKind::Key => {
                let held = ring.keys.get(id);
                let right =
                    bool::from(hash.ct_eq(held.map_or_else(|| ring.another(&hash), |held| &held.hash)));
                let Some(held) = held else { return Err(Why::Unknown(kind, id.into()).into()) };
                if !right {
                    return Err(Why::WrongSecret(kind, id.into()).into());
                }
                let recognised = self.by_key(caller, address, &held.key)?;
                let (id, now) = (held.key.id.clone(), self.0.clock.now());
                self.note_use(&held.key.id, held.key.last_used_at, |store| async move {
                    store.touch_key(id, now).await
                });
                Ok(recognised)
            }
            TokenKind::Session => {
                let held = ring.sessions.get(id);
                let right =
                    bool::from(hash.ct_eq(held.map_or_else(|| ring.another(&hash), |held| &held.hash)));
                let Some(held) = held else { return Err(Why::Unknown(kind, id.into()).into()) };
                if !right {
                    return Err(Why::WrongSecret(kind, id.into()).into());
                }
                let recognised = self.by_session(&ring, caller, address, &held.session)?;
                let (id, now) = (held.session.id.clone(), self.0.clock.now());
                self.note_use(&held.session.id, Some(held.session.last_used_at), |store| async move {
                    store.touch_session(id, now).await
                });
                Ok(recognised)
            }
        }
    }

    /// Comes to an end when what a caller showed is good no longer; for the kernel's word, never. A look that lasts
    /// must not outlast it.
    pub async fn lapse(&self, means: &Means) {
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            match self.still_good(means).await {
                Some(true) => _ = tokio::time::timeout(LOOK, changes.changed()).await,
                Some(false) => return,
                None => std::future::pending().await,
            }
        }
    }

    async fn still_good(&self, means: &Means) -> Option<bool> {
        let (kind, id) = match means {
            Means::Socket => return None,
            Means::Key(id) => (TokenKind::Key, id),
            Means::Session(id) => (TokenKind::Session, id),
        };
        // What cannot be looked at is not good.
        let Ok(ring) = self.ring().await else { return Some(false) };
        let now = self.0.clock.now();
        Some(match kind {
            TokenKind::Key => ring.keys.get(id).is_some_and(|held| held.key.holds(now) == Holds::InForce),
            TokenKind::Session => {
                (ring.sessions.get(id)).is_some_and(|held| self.holds(&ring, &held.session) == Holds::InForce)
            }
        })
    }

    fn by_key(&self, caller: &Caller, address: Option<IpAddr>, key: &ApiKey) -> Result<Caller, Refusal> {
        match key.holds(self.0.clock.now()) {
            Holds::InForce => {}
            over => return Err(Why::Over(TokenKind::Key, key.id.clone(), over).into()),
        }
        let here = |address: IpAddr| key.networks.iter().any(|network| network.contains(address));
        if !key.networks.is_empty() && !address.is_some_and(here) {
            return Err(Why::NotFromHere(key.id.clone()).into());
        }
        Ok(bearing(caller, key, Means::Key(key.id.clone())))
    }

    fn by_session(
        &self,
        ring: &Ring,
        caller: &Caller,
        address: Option<IpAddr>,
        session: &Session,
    ) -> Result<Caller, Refusal> {
        let over = |how| Refusal::from(Why::Over(TokenKind::Session, session.id.clone(), how));
        match self.holds(ring, session) {
            Holds::InForce => {}
            how => return Err(over(how)),
        }
        let means = Means::Session(session.id.clone());
        let Some(key) = &session.key else {
            // The kernel says who it is; what was left of a user's session with another is not theirs.
            if caller.identity.uid != session.uid {
                return Err(Why::NotTheirs(session.id.clone()).into());
            }
            let now = self.user_role(session).ok_or_else(|| over(Holds::Void))?;
            let role = if caller.agent.is_some() { Role::Agent } else { narrower(session.role, now) };
            return Ok(Caller { means, role, ..caller.clone() });
        };
        let key = &ring.keys.get(key).ok_or_else(|| over(Holds::Void))?.key;
        let by_key = self.by_key(caller, address, key)?;
        Ok(Caller { means, ..by_key })
    }

    /// How a session stands, with what it was opened from.
    pub(super) fn holds(&self, ring: &Ring, session: &Session) -> Holds {
        let now = self.0.clock.now();
        let last = self.last_use(&session.id, Some(session.last_used_at));
        let session = Session { last_used_at: last.unwrap_or(session.last_used_at), ..session.clone() };
        let by_itself = session.holds(now, self.idle());
        let vouched = match &session.key {
            Some(key) => ring.keys.get(key).is_some_and(|held| held.key.holds(now) == Holds::InForce),
            None => self.user_role(&session).is_some(),
        };
        if by_itself == Holds::InForce && !vouched { Holds::Void } else { by_itself }
    }

    fn user_role(&self, session: &Session) -> Option<Role> {
        let user = Identity { uid: session.uid, gid: session.gid, pid: None };
        self.0.policy.borrow().role(&user)
    }
}

/// The caller with what the key gives. A fact of the kernel outweighs it: a supervised agent keeps its name and its
/// role, and nothing of another's key is its own.
fn bearing(caller: &Caller, key: &ApiKey, means: Means) -> Caller {
    let (principal, role) = match &caller.agent {
        Some(agent) => (Principal::agent(agent), Role::Agent),
        None if key.principal.kind == PrincipalKind::Agent => (key.principal.clone(), Role::Agent),
        None => (key.principal.clone(), key.role),
    };
    let own = principal == key.principal;
    Caller {
        application_role: key.application_role.clone().filter(|_| own),
        clients: if own { key.clients.clone() } else { Clients::None },
        principal,
        role,
        means,
        ..caller.clone()
    }
}

/// What a session was opened with, or what its user has by now where that is less.
fn narrower(opened: Role, now: Role) -> Role {
    if opened.permissions().iter().all(|permission| now.may(*permission)) { opened } else { now }
}
