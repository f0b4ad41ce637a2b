//! API keys and sessions as everybody may see them: never what is shown to prove them.
use super::{Clients, Network, Principal, Role};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What a service or an agent proves itself by. Nothing in it changes but when it ends and when it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// 12 hexadecimal digits; they identify, they are no secret.
    pub id: String,
    pub principal: Principal,
    /// At agentd itself.
    pub role: Role,
    /// In the applications, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_role: Option<String>,
    pub clients: Clients,
    /// Where it may be used from; empty is anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    pub created_at: Timestamp,
    pub created_by: Principal,
    /// None: it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// To the minute; none if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The key that a rotation put in its place; it expires when their overlap ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// How a key or a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// It opens what it is for.
    InForce,
    Expired,
    /// Another key took its place, and the time in which both were good is over.
    Replaced,
    Revoked,
    /// A session that was not used for too long.
    Idle,
    /// A session that was ended: by its owner, by an administrator, or by a newer one.
    Ended,
    /// A session whose key, or whose user's role, is gone.
    Void,
}

impl Holds {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Idle => "idle",
            Self::Ended => "ended",
            Self::Void => "void",
        }
    }
}

impl ApiKey {
    /// How long it was made for; none if for ever.
    pub fn lifetime(&self) -> Option<SignedDuration> {
        self.expires_at.map(|end| end.duration_since(self.created_at))
    }

    pub fn holds(&self, now: Timestamp) -> Holds {
        let over = self.expires_at.is_some_and(|end| end <= now);
        match (self.revoked_at.is_some(), over, &self.replaced_by) {
            (true, ..) => Holds::Revoked,
            (false, true, Some(_)) => Holds::Replaced,
            (false, true, None) => Holds::Expired,
            (false, false, _) => Holds::InForce,
        }
    }
}

/// Opened from a key, or by a user whom the kernel vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: String,
    pub principal: Principal,
    /// The most that it is good for; less where its key or its user has less by now.
    pub role: Role,
    /// The key that it was opened with; none where it was a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of the process that opened it, as the kernel had them.
    pub uid: u32,
    pub gid: u32,
    pub opened_at: Timestamp,
    /// Whatever is done with it.
    pub expires_at: Timestamp,
    /// To the minute, or finer where sessions idle faster.
    pub last_used_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// By itself; what it was opened from may be gone all the same.
    pub fn holds(&self, now: Timestamp, idle: SignedDuration) -> Holds {
        if self.ended_at.is_some() {
            Holds::Ended
        } else if self.expires_at <= now {
            Holds::Expired
        } else if now.duration_since(self.last_used_at) >= idle {
            Holds::Idle
        } else {
            Holds::InForce
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_session_is_over_by_itself_in_three_ways() {
        let session = Session {
            id: "0".repeat(12),
            principal: Principal::user(1000),
            role: Role::Viewer,
            key: None,
            uid: 1000,
            gid: 1000,
            opened_at: at(0),
            expires_at: at(100),
            last_used_at: at(50),
            ended_at: None,
        };
        let idle = SignedDuration::from_secs(10);
        assert_eq!(session.holds(at(59), idle), Holds::InForce);
        assert_eq!(session.holds(at(60), idle), Holds::Idle);
        assert_eq!(session.holds(at(100), SignedDuration::MAX), Holds::Expired);
        let ended = Session { ended_at: Some(at(55)), ..session };
        assert_eq!(ended.holds(at(55), idle), Holds::Ended);
    }
}
