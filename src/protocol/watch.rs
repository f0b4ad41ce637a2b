//! How any long-running answer is awaited: ask, show, ask again from the cursor.
use super::Endpoint;

/// An endpoint whose reply can be waited on; `cli` follows any of them without knowing which. The daemon holds a
/// request until there is something after the cursor, or 25 s have passed.
pub trait Followed: Endpoint {
    /// Asks only for what came after this cursor.
    fn after(request: &mut Self::Request, cursor: u64);
    fn cursor(reply: &Self::Reply) -> u64;
    fn settled(reply: &Self::Reply) -> bool;
}
