//! Who may ask agents to work, as the switch over all agents stands. One rule, whatever threw the switch: an operator, a
//! rollback, or the manifest.
use super::{Fault, FaultKind, Principal, SwitchedOff};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The fleet runs, and works for these alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    pub at: Timestamp,
    pub by: Principal,
    pub reason: String,
    pub clients: Vec<Principal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Open,
    Limited(Limited),
    /// None where the manifest alone says so.
    Closed(Option<SwitchedOff>),
}

impl Admission {
    /// `on` is what the manifest says. Off wins over limited.
    pub fn of(on: bool, off: Option<SwitchedOff>, limited: Option<Limited>) -> Self {
        match (off, limited) {
            (Some(off), _) => Self::Closed(Some(off)),
            (None, _) if !on => Self::Closed(None),
            (None, Some(limited)) => Self::Limited(limited),
            (None, None) => Self::Open,
        }
    }

    /// As `status` calls it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "on",
            Self::Limited(_) => "limited",
            Self::Closed(_) => "off",
        }
    }

    /// May it ask for work now? Who may not is told since when, and why.
    pub fn admits(&self, principal: &Principal) -> Result<(), Fault> {
        let refused = |why: String, hint: &str| {
            Err(Fault::new(FaultKind::Refused, format!("cannot take work of {principal}: {why}")).hint(hint))
        };
        match self {
            Self::Open => Ok(()),
            Self::Limited(limited) if limited.clients.contains(principal) => Ok(()),
            Self::Limited(limited) => refused(
                format!("the agent system is limited since {}: {}", minute(limited.at), limited.reason),
                "`agentctl system show` says to whom; `agentctl system on` lifts it",
            ),
            Self::Closed(Some(off)) => refused(
                format!("the agent system is off since {}: {}", minute(off.at), off.reason),
                "`agentctl system on` lets agents start again",
            ),
            Self::Closed(None) => refused(
                "the agent system is off: agent_system in the manifest says so".into(),
                "set agent_system = \"on\", then `agentctl config reload`",
            ),
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
        let (at, by, reason) = (minute(self.at), &self.by, &self.reason);
        write!(f, "limited to {} since {at}, by {by}: {reason}", clients.join(", "))
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn principal(text: &str) -> Principal {
        text.parse().expect("a principal")
    }

    fn off() -> SwitchedOff {
        SwitchedOff { at: Timestamp::UNIX_EPOCH, by: None, reason: "bad release".into() }
    }

    fn limited(clients: &[&str]) -> Limited {
        let clients = clients.iter().map(|client| principal(client)).collect();
        Limited { at: Timestamp::UNIX_EPOCH, by: principal("user:0"), reason: "OPS-17".into(), clients }
    }

    #[test]
    fn who_is_listed_is_admitted_and_who_is_not_is_told_why() {
        let admission = Admission::of(true, None, Some(limited(&["service:billing", "user:7"])));
        for listed in ["service:billing", "user:7"] {
            assert!(admission.admits(&principal(listed)).is_ok(), "{listed}");
        }
        for other in ["user:0", "agent:billing", "service:billing-2", "service:orders"] {
            let fault = admission.admits(&principal(other)).expect_err(other);
            assert_eq!(fault.kind, FaultKind::Refused);
            assert!(fault.message.contains("1970-01-01 00:00Z: OPS-17") && fault.hint.is_some(), "{fault:?}");
        }
    }

    #[test]
    fn off_is_off_whoever_threw_it_and_on_is_on() {
        let anybody = principal("user:7");
        let closed = [
            Admission::of(true, Some(off()), None),
            Admission::of(true, Some(off()), Some(limited(&["user:7"]))),
            Admission::of(false, None, Some(limited(&["user:7"]))),
            Admission::of(false, None, None),
        ];
        for admission in closed {
            let fault = admission.admits(&anybody).expect_err("off");
            assert!(fault.kind == FaultKind::Refused && fault.hint.is_some(), "{admission:?}");
            assert_eq!(admission.as_str(), "off");
        }
        assert!(Admission::of(true, None, None).admits(&anybody).is_ok());
    }

    proptest! {
        #[test]
        fn nobody_is_admitted_but_who_is_listed(listed in prop::collection::vec(0_u32..6, 0..4), asks in 0_u32..6) {
            let clients: Vec<String> = listed.iter().map(|uid| format!("user:{uid}")).collect();
            let clients: Vec<&str> = clients.iter().map(String::as_str).collect();
            let admitted = Admission::of(true, None, Some(limited(&clients))).admits(&Principal::user(asks));
            prop_assert_eq!(admitted.is_ok(), listed.contains(&asks));
        }
    }
}
