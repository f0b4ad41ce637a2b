//! The number of an operation, and the name of one of its steps.
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// Rises by one with each; never given twice. `op-7` everywhere; `7` is understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("op-{}", self.0))
    }
}

impl FromStr for OperationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("op-").unwrap_or(text);
        // One way to write each: its file is named by it.
        let number = digits.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == digits);
        number.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("`{}` is not an operation: write it like op-7", shown.escape_debug())
        })
    }
}

impl TryFrom<String> for OperationId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> String {
        id.to_string()
    }
}

/// What a step is called in a plan and in the journal: `switch`. The registry refuses a step with a name that is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepName(Cow<'static, str>);

impl StepName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Up to 40 of a-z 0-9 -, a letter first: it stands in keys that other systems are shown.
    pub fn is_legal(&self) -> bool {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        self.0.len() <= 40
            && self.0.starts_with(|c: char| c.is_ascii_lowercase())
            && self.0.bytes().all(legal)
    }
}

impl From<&'static str> for StepName {
    fn from(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_reads_back_and_nothing_else_is_one() {
        for text in ["op-7", "7"] {
            assert_eq!(text.parse::<OperationId>().map(|id| id.to_string()).as_deref(), Ok("op-7"));
        }
        for text in
            ["", "op-", "op-0", "0", "07", "op-+7", "op--7", "op-7 ", "run-7", "op-99999999999999999999"]
        {
            assert!(text.parse::<OperationId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_step_is_named_so_that_a_key_can_hold_it() {
        for (name, legal) in
            [("switch", true), ("start-2", true), ("", false), ("2", false), ("a b", false), ("A", false)]
        {
            assert_eq!(StepName::from(name).is_legal(), legal, "{name:?}");
        }
    }
}
