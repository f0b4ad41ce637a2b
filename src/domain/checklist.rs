//! What must hold before and after a deployment: when it is asked, what a report says of it, and who answers for what
//! no machine can check.
use super::{Principal, Standing};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// When an item of the checklist is asked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before a deployment.
    #[default]
    Pre,
    /// In the half hour after it.
    Post,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Makes a report one of the checklist: what is required decides, and no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checklist {
    pub phase: Phase,
    /// What is to be deployed; attestations that were given for another release do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// Somebody's word for an item that no machine can check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    pub id: u64,
    /// Of an item of the checklist.
    pub item: String,
    /// Of the item as it read then; it is no word for another text.
    pub fingerprint: String,
    pub environment: String,
    /// None: for whatever is deployed there until it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The name that was given; not proved.
    pub by: String,
    /// Who the daemon saw give it.
    pub principal: Principal,
    /// Of the process that gave it, from the kernel.
    pub uid: u32,
    pub note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceFile>,
    pub attested_at: Timestamp,
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// A file that was shown with an attestation; its content is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFile {
    /// As it was called, without its directory. Untrusted text.
    pub name: String,
    pub sha256: String,
    pub bytes: u64,
}

impl Attestation {
    /// How it stands for an item that reads like this now; void when there is none.
    pub fn standing(&self, fingerprint: Option<&str>, at: Timestamp) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if at >= self.expires_at || at < self.attested_at {
            Standing::Expired
        } else if fingerprint == Some(self.fingerprint.as_str()) {
            Standing::InForce
        } else {
            Standing::Void
        }
    }

    /// Is it about what is deployed here?
    pub fn is_for(&self, item: &str, environment: &str, release: Option<&str>) -> bool {
        self.item.eq_ignore_ascii_case(item)
            && self.environment == environment
            && self.release.as_deref().is_none_or(|of| Some(of) == release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn given(release: Option<&str>) -> Attestation {
        let at = Timestamp::UNIX_EPOCH;
        Attestation {
            id: 1,
            item: "restore-read".into(),
            fingerprint: "ab".into(),
            environment: "staging".into(),
            release: release.map(Into::into),
            by: "ana".into(),
            principal: Principal::user(1000),
            uid: 1000,
            note: "read".into(),
            evidence: None,
            attested_at: at,
            expires_at: at + SignedDuration::from_hours(1),
            revoked_at: None,
        }
    }

    #[test]
    fn a_word_stands_until_it_expires_and_for_the_text_that_was_read() {
        let minutes = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let word = given(None);
        assert_eq!(word.standing(Some("ab"), minutes(59)), Standing::InForce);
        assert_eq!(word.standing(Some("ab"), minutes(60)), Standing::Expired);
        assert_eq!(word.standing(Some("ab"), minutes(-1)), Standing::Expired, "a clock that was turned back");
        assert_eq!(word.standing(Some("cd"), minutes(1)), Standing::Void);
        assert_eq!(word.standing(None, minutes(1)), Standing::Void, "the item is gone");
        let revoked = Attestation { revoked_at: Some(minutes(1)), ..word };
        assert_eq!(revoked.standing(Some("ab"), minutes(2)), Standing::Revoked);
    }

    #[test]
    fn a_word_for_one_release_or_environment_is_none_for_another() {
        assert!(given(None).is_for("Restore-Read", "staging", Some("r2")));
        assert!(given(Some("r1")).is_for("restore-read", "staging", Some("r1")));
        assert!(!given(Some("r1")).is_for("restore-read", "staging", Some("r2")));
        assert!(
            !given(Some("r1")).is_for("restore-read", "staging", None),
            "nobody says which release it is"
        );
        assert!(!given(None).is_for("restore-read", "production", None));
        assert!(!given(None).is_for("another", "staging", None));
    }
}
