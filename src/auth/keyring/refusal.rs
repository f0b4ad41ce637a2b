//! Why a bearer proves nothing: in full for the audit trail, in one and the same sentence for whoever showed it.
use crate::{
    auth::token::{Malformed, TokenKind},
    domain::{Fault, FaultKind, Holds},
};
use std::fmt;

/// The trail is told which; the client only where the secret was right and the place is wrong.
#[derive(Clone, Debug)]
pub enum Why {
    Malformed(Malformed),
    /// Ids are no secrets, and these have passed their checksum.
    Unknown(TokenKind, String),
    WrongSecret(TokenKind, String),
    /// The secret is right, and it is over.
    Over(TokenKind, String, Holds),
    /// The secret is right, and this is not where it may be used.
    NotFromHere(String),
    /// A user's session, shown by another user.
    NotTheirs(String),
    /// It could not be found out.
    Unanswered(Fault),
}

/// A bearer that was not accepted.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub why: Why,
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        Self { why }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { why: Why::Unanswered(fault) }
    }
}

impl Refusal {
    /// What the client is told. It is the same whatever is wrong, so that nobody learns from it which ids there are.
    pub fn answer(&self) -> Fault {
        match &self.why {
            Why::Unanswered(fault) => fault.clone(),
            Why::NotFromHere(_) => Fault::new(
                FaultKind::Forbidden,
                "cannot accept this key here: it is good from certain networks only, and over a Unix socket there is \
                 no address to tell",
            )
            .hint("make one without --from for use on this machine: `agentctl auth key create`"),
            _ => Fault::new(
                FaultKind::Unauthenticated,
                "cannot accept this key or session: it is none that is good here",
            )
            .hint("an administrator sees why in `agentctl audit list`"),
        }
    }

    /// What the trail is told: never a secret, nor anything made up that could be taken for one.
    pub fn for_the_trail(&self) -> Fault {
        Fault { message: self.to_string(), ..self.answer() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |kind: &TokenKind| match kind {
            TokenKind::Key => "key",
            TokenKind::Session => "session",
        };
        match &self.why {
            Why::Malformed(Malformed::Form) => {
                f.write_str("malformed: it has not the form of a key or a session")
            }
            Why::Malformed(Malformed::Checksum) => f.write_str("malformed: its checksum is wrong"),
            Why::Unknown(kind, id) => write!(f, "unknown: there is no {} {id}", word(kind)),
            Why::WrongSecret(kind, id) => write!(f, "wrong: {} {id} has another secret", word(kind)),
            Why::Over(kind, id, how) => write!(f, "{}: {} {id} was good once", how.as_str(), word(kind)),
            Why::NotFromHere(id) => write!(f, "not from here: key {id} is good from certain networks only"),
            Why::NotTheirs(id) => write!(f, "not from here: session {id} is another user's"),
            Why::Unanswered(fault) => write!(f, "unanswered: {fault}"),
        }
    }
}
