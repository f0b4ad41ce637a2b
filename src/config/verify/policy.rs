//! Policies: none contradicts itself, and none is written for nobody.
use super::{Verifier, escape, shown, with_nearest};
use crate::config::PolicyValues;
use std::collections::BTreeSet;

impl Verifier<'_> {
    pub(super) fn policies(&mut self) {
        let settings = self.settings;
        for name in settings.policies.keys() {
            let at = format!("/policy/{}", escape(name));
            if self.maimed.contains(&at) || self.maimed.contains("/policy") {
                continue;
            }
            if let Err(why) = name.parse::<crate::domain::AgentName>() {
                self.tell(why, &at, "a policy's name stands on command lines");
            }
            self.contradictions(&at, &settings.policy(name, None));
            self.used(name, &at);
        }
        self.named();
    }

    fn contradictions(&mut self, at: &str, policy: &PolicyValues) {
        for (key, period) in [
            ("timeout", policy.timeout),
            ("deadline", policy.deadline),
            ("breaker/open_for", policy.open_for),
            ("breaker/window", policy.window),
        ] {
            self.not_zero(&format!("{at}/{key}"), period);
        }
        if policy.timeout > policy.deadline {
            let message = "one attempt may take longer than all of them together";
            let key = self.written(at, &["timeout", "deadline"]);
            self.tell(message, &key, "lower `timeout` or raise `deadline`");
        } else if policy.attempts > 1 && policy.backoff.first.0 >= policy.deadline {
            let message = "the first wait is as long as the whole deadline, so nothing is ever tried again";
            let key = self.written(at, &["backoff", "deadline", "attempts"]);
            self.tell(message, &key, "shorten `backoff`, raise `deadline`, or write attempts = 1");
        }
        if policy.attempts > 1 && policy.retry_budget <= 0.0 {
            let message = format!("of {} attempts, the retry budget allows one", policy.attempts);
            let key = self.written(at, &["retry_budget"]);
            self.tell(message, &key, "raise `retry_budget`, or write attempts = 1");
        }
        if policy.failures == 0 && policy.failure_rate.is_none() {
            let key = self.written(at, &["breaker/failures", "breaker"]);
            self.tell(
                "this breaker never opens",
                &key,
                "let `failures` be 1 or more, or give it a `rate` of failures",
            );
        }
    }

    /// What is written of these, the first that is; the whole table where none is.
    fn written(&self, at: &str, keys: &[&str]) -> String {
        let pointers = keys.iter().map(|key| format!("{at}/{key}"));
        pointers.into_iter().find(|pointer| self.root.find(pointer).is_some()).unwrap_or(at.to_owned())
    }

    /// A policy that nobody names would be read and ignored. Those that ship wait for who will use them.
    fn used(&mut self, name: &str, at: &str) {
        let settings = self.settings;
        let of_dependency = settings.dependencies.iter().any(|known| settings.policy_of(known) == name);
        let of_check = settings.checks.iter().any(|check| check.policy.as_deref() == Some(name));
        let ships = crate::config::Settings::default().is_policy(name);
        if !(of_dependency || of_check || ships) && self.maimed.is_empty() {
            let message = format!("no dependency and no check has policy `{}`", shown("", name));
            self.tell(message, at, "name it by policy = \"…\", or take it out");
        }
    }

    /// Every `policy = "…"` leads somewhere.
    fn named(&mut self) {
        let settings = self.settings;
        if self.maimed.contains("/policy") {
            return;
        }
        let policies: BTreeSet<&str> = settings.policy_names().collect();
        // A check may go by a dependency's, and so share its breaker.
        let dependencies = settings.dependencies.iter().map(|known| known.name.as_str());
        let all: BTreeSet<&str> = policies.iter().copied().chain(dependencies).collect();
        let of_dependencies = settings.dependencies.iter().enumerate().map(|(index, known)| {
            (format!("/dependency/{index}/policy"), known.policy.as_deref(), &policies)
        });
        let of_checks = settings
            .checks
            .iter()
            .enumerate()
            .map(|(index, check)| (format!("/check/{index}/policy"), check.policy.as_deref(), &all));
        for (at, named, known) in of_dependencies.chain(of_checks).collect::<Vec<_>>() {
            let Some(named) = named.filter(|named| !known.contains(named)) else { continue };
            let message = format!("there is no policy `{}`", shown("", named));
            let problem = self.problem(message, self.place(&at));
            self.problems.push(with_nearest(problem, named, known.iter().copied(), "policies"));
        }
    }
}
