//! Sessions and keys: lengths of time that leave no sense to a session or to a finding.
use super::Verifier;

impl Verifier<'_> {
    pub(super) fn credentials(&mut self) {
        let (sessions, keys) = (&self.settings.sessions, &self.settings.keys);
        for (pointer, period) in [
            ("/sessions/idle", sessions.idle),
            ("/sessions/absolute", sessions.absolute),
            ("/keys/max_age", keys.max_age),
            ("/keys/unused_after", keys.unused_after),
        ] {
            self.not_zero(pointer, period.0);
        }
        if sessions.idle > sessions.absolute {
            let message = format!(
                "`idle` is {} and above `absolute`, which is {}: no session would ever be idle",
                sessions.idle, sessions.absolute
            );
            let key = if self.root.find("/sessions/idle").is_some() { "idle" } else { "absolute" };
            self.tell(message, &format!("/sessions/{key}"), "lower the one or raise the other");
        }
    }
}
