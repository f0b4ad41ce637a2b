//! What must hold before and after a deployment: when it is asked, what a report says of it, and who answers for what
//! no machine can check.
use super::{Period, Principal, Standing};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The item that every soak begins with: without a window that is full there is no go.
pub const SOAK_WINDOW: &str = "soak-window";

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
    /// Over what was recorded in the first hours after it.
    Short,
    /// Over what was recorded in the first days after it.
    Extended,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::Short => "short",
            Self::Extended => "extended",
        }
    }

    /// Is it judged by what was recorded over a window, and not by a look?
    pub fn is_soak(self) -> bool {
        matches!(self, Self::Short | Self::Extended)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Makes a report one of the checklist: what is required decides, and no score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checklist {
    pub phase: Phase,
    /// What is to be deployed; attestations that were given for another release do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Of a phase that is judged over a window: how far that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
}

/// A window of recorded metrics, as it stood when it was asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Soak {
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// As far as it was looked at.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Timestamp,
    /// How long it must be at least.
    pub least: Period,
    /// The share of it, 0 to 1, that there were looks in; and how much that must be.
    pub observed: f64,
    pub min_observed: f64,
    /// When it is long enough and observed enough, if all is observed from now on; none if it is so already, or never
    /// will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub again_at: Option<Timestamp>,
}

impl Soak {
    /// Long enough, and observed enough: what it shows may be judged.
    pub fn is_full(&self) -> bool {
        self.length() >= self.least.0 && self.observed >= self.min_observed
    }

    pub fn length(&self) -> Duration {
        Duration::try_from(self.until.duration_since(self.since)).unwrap_or_default()
    }

    /// `37m of 1h, 99.2% observed; can be asked again at 15:40:00Z`.
    pub fn progress(&self) -> String {
        let (length, least) = (Period(self.length()), self.least);
        let so_far = if length >= least { length.to_string() } else { format!("{length} of {least}") };
        let observed = format!("{so_far}, {:.1}% observed", (self.observed * 1e3).floor() / 10.0);
        match self.again_at {
            _ if self.is_full() => observed,
            Some(at) if at.duration_since(self.until) < SignedDuration::from_hours(20) => {
                format!("{observed}; can be asked again at {}", at.strftime("%H:%M:%SZ"))
            }
            Some(at) => format!("{observed}; can be asked again at {}", at.strftime("%Y-%m-%d %H:%MZ")),
            None => {
                let needed = self.min_observed * 100.0;
                format!("{observed}, of {needed:.0}% that are needed, and it will not be more")
            }
        }
    }
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
    fn a_window_says_how_far_it_is_and_when_it_can_be_asked_again() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let soak = |minutes, observed, again: Option<i64>| Soak {
            since: at(0),
            until: at(minutes),
            least: Period::secs(3600),
            observed,
            min_observed: 0.95,
            again_at: again.map(at),
        };
        for (soak, full, told) in [
            (soak(37, 0.992, Some(60)), false, "37m of 1h, 99.2% observed; can be asked again at 01:00:00Z"),
            (soak(60, 0.95, None), true, "1h, 95.0% observed"),
            (soak(60, 0.9499, Some(61)), false, "1h, 94.9% observed; can be asked again at 01:01:00Z"),
            (
                soak(240, 0.5, None),
                false,
                "4h, 50.0% observed, of 95% that are needed, and it will not be more",
            ),
            (
                soak(0, 0.0, Some(1440)),
                false,
                "0s of 1h, 0.0% observed; can be asked again at 1970-01-02 00:00Z",
            ),
        ] {
            assert_eq!((soak.is_full(), soak.progress().as_str()), (full, told));
        }
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
