//! Who answers for a request, how that was proved, and the thread that ties what follows from it together.
use super::AgentName;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A person, by the uid that the kernel reports.
    User,
    /// An application with a key.
    Service,
    /// One of the fleet.
    Agent,
}

/// `user:1000`, `service:billing`, `agent:orders`: written as text everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal {
    pub kind: PrincipalKind,
    /// A uid, or a name of up to 63 of a-z 0-9 - _ .
    pub name: Arc<str>,
}

impl Principal {
    pub fn user(uid: u32) -> Self {
        Self { kind: PrincipalKind::User, name: uid.to_string().into() }
    }

    pub fn agent(agent: &AgentName) -> Self {
        Self { kind: PrincipalKind::Agent, name: agent.as_str().into() }
    }
}

impl FromStr for Principal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not a principal: write user:UID, service:NAME or agent:NAME",
                text.chars().take(80).collect::<String>().escape_debug()
            )
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind = match kind {
            "user" => PrincipalKind::User,
            "service" => PrincipalKind::Service,
            "agent" => PrincipalKind::Agent,
            _ => return Err(wrong()),
        };
        // A user is a uid; the others are named as agents are.
        let legal = match kind {
            PrincipalKind::User => name.parse::<u32>().is_ok_and(|uid| uid.to_string() == name),
            PrincipalKind::Service | PrincipalKind::Agent => name.parse::<AgentName>().is_ok(),
        };
        if legal { Ok(Self { kind, name: name.into() }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Principal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> String {
        principal.to_string()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PrincipalKind::User => "user",
            PrincipalKind::Service => "service",
            PrincipalKind::Agent => "agent",
        };
        f.pad(&format!("{kind}:{}", self.name))
    }
}

/// How a caller proved who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// The kernel's word on the other end of the socket.
    Socket,
    /// An API key, by its public id.
    Key(String),
    /// A session, by its public id.
    Session(String),
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => f.pad("socket"),
            Self::Key(id) => f.pad(&format!("key {id}")),
            Self::Session(id) => f.pad(&format!("session {id}")),
        }
    }
}

/// Ties together what followed from one request: 16 hexadecimal digits. It identifies, it is no secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CorrelationId(pub u64);

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for CorrelationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| "a correlation id has 16 hexadecimal digits".to_owned())
    }
}

impl TryFrom<String> for CorrelationId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CorrelationId> for String {
    fn from(id: CorrelationId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_read_back_and_nothing_else_is_one() {
        for text in ["user:0", "user:1000", "service:billing", "agent:no-show-fee"] {
            assert_eq!(text.parse::<Principal>().map(|p| p.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "user",
            "user:",
            "user:ana",
            "user:01",
            "user:-1",
            "root:0",
            "agent:A",
            "agent:a b",
            "agent:a\n",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_correlation_id_reads_back() {
        let id = CorrelationId(0xdead_beef);
        assert_eq!(id.to_string(), "00000000deadbeef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("+0000000deadbeef".parse::<CorrelationId>().is_err());
    }
}
