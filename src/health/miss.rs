//! Why a look did not see what was wanted: what was asked is wrong, or nobody could ask it.
use crate::{resilience::Failing, store::foreign::Silence};
use std::fmt;

/// A look that did not pass. The text may hold what others wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It was asked, and it is not as wanted; a connection that is refused is an answer too.
    Wrong(String),
    /// It could not be asked: what is missing or broken is on this side.
    Blind(String),
    /// It was asked, is not as wanted, and said itself whose fault that is and when to come again.
    Answered { told: String, failing: Failing },
}

impl Miss {
    pub fn blind(why: impl fmt::Display) -> Self {
        Self::Blind(why.to_string())
    }

    pub fn detail(&self) -> &str {
        match self {
            Self::Wrong(text) | Self::Blind(text) | Self::Answered { told: text, .. } => text,
        }
    }

    /// The same in other words.
    #[must_use]
    pub fn saying(self, told: String) -> Self {
        match self {
            Self::Wrong(_) => Self::Wrong(told),
            Self::Blind(_) => Self::Blind(told),
            Self::Answered { failing, .. } => Self::Answered { told, failing },
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

/// What is merely told is what was seen.
impl From<String> for Miss {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

impl From<&str> for Miss {
    fn from(text: &str) -> Self {
        Self::Wrong(text.to_owned())
    }
}

impl From<Silence> for Miss {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Unasked(text) => Self::Blind(text),
            Silence::Refused(text) => Self::Wrong(text),
        }
    }
}
