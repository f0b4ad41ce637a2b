//! Names that travel between rooms, each its own type so that none is taken for another.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of an agent as the manifest gives it: lower-case letters, digits, `-`, `_` and `.`, at most 63.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(Arc<str>);

impl AgentName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if text.len() <= 63 && starts_well && text.chars().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{}` is not a name: use up to 63 of a-z 0-9 - _ . and start with a letter or digit",
                text.escape_debug()
            ))
        }
    }
}

impl TryFrom<String> for AgentName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AgentName> for String {
    fn from(name: AgentName) -> String {
        name.0.to_string()
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One running copy of an agent: `orders/0`, `orders/1` …, and `orders/candidate` beside them while a release is tried.
/// Written as text everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    pub agent: AgentName,
    pub index: u32,
}

impl InstanceId {
    pub fn new(agent: AgentName, index: u32) -> Self {
        Self { agent, index }
    }

    /// The one that runs another release beside the agent's replicas. It is none of them.
    pub fn candidate(agent: AgentName) -> Self {
        Self { agent, index: CANDIDATE }
    }

    pub fn is_candidate(&self) -> bool {
        self.index == CANDIDATE
    }
}

/// No replica has it: there are at most 1000.
const CANDIDATE: u32 = u32::MAX;
const CANDIDATE_WORD: &str = "candidate";

impl FromStr for InstanceId {
    type Err = String;

    /// `orders` alone means `orders/0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (agent, index) = text.split_once('/').unwrap_or((text, "0"));
        let index = match index.parse() {
            _ if index == CANDIDATE_WORD => CANDIDATE,
            Ok(index) if index != CANDIDATE => index,
            _ => return Err(format!("`{}` is not AGENT/NUMBER", text.escape_debug())),
        };
        Ok(Self { agent: agent.parse()?, index })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> String {
        id.to_string()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_candidate() {
            return f.pad(&format!("{}/{CANDIDATE_WORD}", self.agent));
        }
        f.pad(&format!("{}/{}", self.agent, self.index))
    }
}

/// One validation run, numbered from 1 by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{}` is not a run number", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_a_shell_or_a_path_would_misread() {
        for bad in ["", "-x", ".x", "a/b", "a b", "A", "a\n", "é", &"a".repeat(64)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "no-show-fee", "v2.1_x", &"a".repeat(63)] {
            assert_eq!(good.parse::<AgentName>().map(String::from), Ok(good.to_owned()));
        }
    }

    #[test]
    fn an_instance_reads_back_as_written() {
        let id: InstanceId = "orders/3".parse().expect("an instance");
        assert_eq!((id.agent.as_str(), id.index, id.to_string().as_str()), ("orders", 3, "orders/3"));
        assert_eq!("orders".parse::<InstanceId>().map(|id| id.index), Ok(0));
        assert!("orders/x".parse::<InstanceId>().is_err());
        let candidate = InstanceId::candidate(id.agent.clone());
        assert_eq!(candidate.to_string(), "orders/candidate");
        assert!(candidate.is_candidate() && !id.is_candidate());
        assert_eq!("orders/candidate".parse(), Ok(candidate));
        assert!("orders/4294967295".parse::<InstanceId>().is_err(), "two ways to write one");
    }
}
