//! How keys come and go. What proves one is made here, handed out once, and forgotten.
use super::Keyring;
use crate::{
    auth::token::{self, Minted, TokenKind},
    domain::{
        Act, AgentName, ApiKey, Caller, Clients, Fault, FaultKind, Network, Period, Principal, PrincipalKind,
        Role,
    },
    store::HashedKey,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

const MOST_NETWORKS: usize = 64;
const MOST_CLIENTS: usize = 1_000;
const LONGEST_CLIENT: usize = 128;

/// What an administrator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    pub principal: Principal,
    /// At agentd itself; service for a service, agent for an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_role: Option<String>,
    #[serde(default)]
    pub clients: Clients,
    #[serde(default)]
    pub networks: Vec<Network>,
    /// At most one of the two; with neither it never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Period>,
}

/// What came of a rotation.
pub struct Rotation {
    pub old: ApiKey,
    pub new: ApiKey,
    /// Of the new one.
    pub token: SecretString,
}

impl Keyring {
    pub async fn create_key(
        &self,
        caller: &Caller,
        request: KeyRequest,
        act: Act,
    ) -> Result<(ApiKey, SecretString), Fault> {
        let now = self.0.clock.now();
        let role = granted(caller, &request)?;
        bounded(&request)?;
        let expires_at = match (request.expires_at, request.expires_in) {
            (Some(_), Some(_)) => {
                return Err(Fault::usage("cannot end a key twice: give a time or a length"));
            }
            (Some(at), None) => Some(representable(Some(at))?),
            (None, Some(length)) => Some(after(now, length)?),
            (None, None) => None,
        };
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Fault::usage("cannot make a key that has expired").hint("choose a later time"));
        }
        let Minted { id, token, hash } = token::mint(TokenKind::Key)?;
        let key = ApiKey {
            id,
            principal: request.principal,
            role,
            application_role: request.application_role,
            clients: request.clients,
            networks: request.networks,
            created_at: now,
            created_by: caller.principal.clone(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
            replaced_by: None,
        };
        let store = self.0.store.clone();
        let added = self.change(async move { store.add_key(HashedKey { key, hash }, act).await }).await?;
        Ok((added, token))
    }

    /// Another key for the same, good for as long as the old one was made for. Both are good while they overlap.
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        id: &str,
        overlap: Period,
        act: Act,
    ) -> Result<Rotation, Fault> {
        not_an_agent(caller)?;
        let now = self.0.clock.now();
        let ring = self.ring().await?;
        let old = &ring.keys.get(id).ok_or_else(|| unknown(id))?.key;
        let until = after(now, overlap)?;
        let expires_at = (old.lifetime()).map(|life| now.checked_add(life).unwrap_or(Timestamp::MAX));
        let Minted { id: new, token, hash } = token::mint(TokenKind::Key)?;
        let key = ApiKey {
            id: new,
            created_at: now,
            created_by: caller.principal.clone(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
            replaced_by: None,
            ..old.clone()
        };
        let (store, id, successor) = (self.0.store.clone(), id.to_owned(), key.clone());
        let replaced = self.change(async move {
            let replaced =
                store.replace_key(id.clone(), HashedKey { key: successor, hash }, until, act).await;
            replaced.map(|old| old.ok_or(id))
        });
        let old = replaced.await?.map_err(|id| unknown(&id))?;
        Ok(Rotation { old, new: key, token })
    }

    /// And the sessions that were opened with it.
    pub async fn revoke_key(&self, id: &str, act: Act) -> Result<ApiKey, Fault> {
        let (store, now, asked) = (self.0.store.clone(), self.0.clock.now(), id.to_owned());
        let revoked = self.change(async move { store.revoke_key(asked, now, act).await }).await?;
        revoked.ok_or_else(|| unknown(id))
    }

    /// Oldest first; with `all`, those that are over too.
    pub async fn keys(&self, all: bool) -> Result<Vec<ApiKey>, Fault> {
        let (ring, now) = (self.ring().await?, self.0.clock.now());
        let kept = ring.keys.values().map(|held| &held.key);
        let wanted = kept.filter(|key| all || key.holds(now) == crate::domain::Holds::InForce);
        let mut keys: Vec<ApiKey> = wanted.map(|key| self.with_use(key)).collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    pub async fn key(&self, id: &str) -> Result<ApiKey, Fault> {
        let ring = self.ring().await?;
        ring.keys.get(id).map(|held| self.with_use(&held.key)).ok_or_else(|| unknown(id))
    }

    fn with_use(&self, key: &ApiKey) -> ApiKey {
        ApiKey { last_used_at: self.last_use(&key.id, key.last_used_at), ..key.clone() }
    }
}

/// The role that the key will have, if this caller may give it.
fn granted(caller: &Caller, request: &KeyRequest) -> Result<Role, Fault> {
    not_an_agent(caller)?;
    let role = match request.principal.kind {
        PrincipalKind::User => {
            return Err(Fault::usage(format!("cannot make a key for {}: users are known by the kernel", request.principal))
                .hint("name a service or an agent: service:NAME, agent:NAME; `agentctl auth login` opens a session for a user"));
        }
        PrincipalKind::Agent => request.role.unwrap_or(Role::Agent),
        PrincipalKind::Service => request.role.unwrap_or(Role::Service),
    };
    if request.principal.kind == PrincipalKind::Agent && role != Role::Agent {
        return Err(Fault::new(
            FaultKind::Refused,
            format!("cannot make {} {role}: an agent is never more than agent", request.principal),
        )
        .hint("leave --role out; make a key for a service if it is not one of the fleet"));
    }
    if !role.permissions().iter().all(|permission| caller.role.may(*permission)) {
        return Err(Fault::new(
            FaultKind::Forbidden,
            format!("cannot give the role {role}: it may do more than {} who asks", caller.role),
        ));
    }
    Ok(role)
}

/// The gate refuses it already; what it guards is worth asking twice.
pub(super) fn not_an_agent(caller: &Caller) -> Result<(), Fault> {
    let agent =
        caller.agent.is_some() || caller.role == Role::Agent || caller.principal.kind == PrincipalKind::Agent;
    if agent {
        return Err(Fault::new(FaultKind::Forbidden, "cannot give an agent a key or a session to give away"));
    }
    Ok(())
}

fn bounded(request: &KeyRequest) -> Result<(), Fault> {
    if let Some(role) = &request.application_role
        && role.parse::<AgentName>().is_err()
    {
        return Err(Fault::usage("cannot read the application role: it has up to 63 of a-z 0-9 - _ ."));
    }
    if request.networks.len() > MOST_NETWORKS {
        return Err(Fault::usage(format!("cannot keep more than {MOST_NETWORKS} networks with a key")));
    }
    if let Clients::Only(clients) = &request.clients {
        if clients.is_empty() || clients.len() > MOST_CLIENTS {
            return Err(Fault::usage(format!(
                "cannot keep that list of clients: it has 1 to {MOST_CLIENTS}"
            )));
        }
        let fits = |name: &String| {
            (1..=LONGEST_CLIENT).contains(&name.len()) && name.chars().all(|c| !c.is_control() && c != ',')
        };
        if !clients.iter().all(fits) {
            return Err(Fault::usage(format!(
                "cannot read the list of clients: each has up to {LONGEST_CLIENT} bytes, no comma and nothing \
                 that cannot be printed"
            )));
        }
    }
    Ok(())
}

fn after(now: Timestamp, length: Period) -> Result<Timestamp, Fault> {
    let length = SignedDuration::try_from(length.0).unwrap_or(SignedDuration::MAX);
    representable(now.checked_add(length).ok())
}

/// The store keeps times in 63 bits of nanoseconds, which end in 2262.
fn representable(at: Option<Timestamp>) -> Result<Timestamp, Fault> {
    let at = at.filter(|at| i64::try_from(at.as_nanosecond()).is_ok());
    at.ok_or_else(|| {
        Fault::usage("cannot look so far ahead").hint("leave it out for a key that never expires")
    })
}

fn unknown(id: &str) -> Fault {
    let id: String = id.chars().take(40).collect();
    Fault::not_found(format!("cannot find key {}: there is none", id.escape_debug()))
        .hint("`agentctl auth key list --all` shows them")
}
