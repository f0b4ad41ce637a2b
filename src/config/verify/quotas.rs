//! Quotas: whom they are for, and bounds that would bound nothing.
use super::{Verifier, escape, shown};
use crate::{config::QuotaSettings, domain::Principal};

impl Verifier<'_> {
    pub(super) fn quotas(&mut self) {
        let quotas = &self.settings.quotas;
        for (kind, quota) in
            [("users", &quotas.users), ("services", &quotas.services), ("agents", &quotas.agents)]
        {
            self.quota(&format!("/quotas/{kind}"), quota);
        }
        for (name, quota) in &quotas.principals {
            let at = format!("/quotas/principals/{}", escape(name));
            if name.parse::<Principal>().is_err() {
                let message = format!("`{}` is no principal", shown("", name));
                self.tell(message, &at, "write user:UID, service:NAME or agent:NAME");
            }
            self.quota(&at, quota);
        }
        let failures = &quotas.failures;
        for (key, period) in [
            ("first_wait", failures.first_wait),
            ("longest_wait", failures.longest_wait),
            ("forgiven_after", failures.forgiven_after),
        ] {
            self.not_zero(&format!("/quotas/failures/{key}"), period.0);
        }
        if failures.first_wait > failures.longest_wait {
            let message = format!(
                "`first_wait` is {} and longer than `longest_wait`, which is {}",
                failures.first_wait, failures.longest_wait
            );
            let key =
                if self.root.find("/quotas/failures/first_wait").is_some() { "first" } else { "longest" };
            let at = format!("/quotas/failures/{key}_wait");
            self.tell(message, &at, "lower the one or raise the other");
        }
    }

    fn quota(&mut self, at: &str, quota: &QuotaSettings) {
        if quota.per_second == Some(0) && quota.burst.is_some_and(|burst| burst > 0) {
            let message = "`burst` bounds nothing while `per_second` is 0";
            self.tell(message, &format!("{at}/burst"), "say how many in a second, or take it out");
        }
    }
}
