//! One question the daemon can answer: ties a request type to its only reply type and to the permission it needs.
use crate::domain::{Audited, Permission};
use serde::{Serialize, de::DeserializeOwned};

/// Reads travel as GET with a flat query string; writes as POST with a JSON body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Read,
    Write,
}

/// One that names the permission it needs builds:
/// ```
/// # use agentctl::{domain::{Audited, Permission}, protocol::{Endpoint, Verb}};
/// struct Show;
/// impl Endpoint for Show {
///     const NAME: &'static str = "show";
///     const VERB: Verb = Verb::Read;
///     const NEEDS: Permission = Permission::FleetRead;
///     const AUDITED: Audited = Audited::Not;
///     type Request = ();
///     type Reply = ();
/// }
/// ```
/// and one that names none does not:
/// ```compile_fail,E0046
/// # use agentctl::{domain::{Audited, Permission}, protocol::{Endpoint, Verb}};
/// struct Show;
/// impl Endpoint for Show {
///     const NAME: &'static str = "show";
///     const VERB: Verb = Verb::Read;
///     const AUDITED: Audited = Audited::Not;
///     type Request = ();
///     type Reply = ();
/// }
/// ```
pub trait Endpoint: 'static {
    /// Under `/v1/`: `agents/list`.
    const NAME: &'static str;
    const VERB: Verb;
    const NEEDS: Permission;
    const AUDITED: Audited;
    /// It asks agents, or the applications that they serve, to work: refused while the fleet is off, and to whomever it
    /// is limited away from. Looking and operating are no work.
    const WORK: bool = false;
    type Request: Serialize + DeserializeOwned + Send + 'static;
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// What it is done to, for the audit trail: `agent/orders`. Empty where that is the fleet as a whole.
    fn object(_request: &Self::Request) -> String {
        String::new()
    }
}

/// An endpoint whose reply never ends by itself: one JSON value a line until either side hangs up.
pub trait Streamed: 'static {
    const NAME: &'static str;
    const NEEDS: Permission;
    const AUDITED: Audited;
    type Request: Serialize + DeserializeOwned + Send + 'static;
    type Item: Serialize + DeserializeOwned + Send + 'static;
}

pub fn path(name: &str) -> String {
    format!("/v1/{name}")
}
