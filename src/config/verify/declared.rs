//! Declared checks: names of their own, and an end that can be waited for.
use super::{Json, Verifier, shown, with_nearest};
use crate::{
    config::declared::RETRY_DELAY,
    domain::{Category, SOAK_WINDOW},
};
use std::{collections::HashMap, time::Duration};

/// One declared check must not hold up the whole report.
const LONGEST: Duration = Duration::from_secs(300);

impl Verifier<'_> {
    pub(super) fn checks(&mut self) {
        let settings = self.settings;
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, check) in settings.checks.iter().enumerate() {
            let at = format!("/check/{index}");
            // `--only db` and `--only DB` mean the same.
            let lower = check.id.to_ascii_lowercase();
            if let Some(first) = seen.get(&lower) {
                let line = self.place(&format!("/check/{first}/id"));
                let line = self.layers[line.layer as usize].text.line(line.start());
                let message =
                    format!("the id `{}` is taken by the check of line {line}", shown("", &check.id));
                self.tell(message, &format!("{at}/id"), "give each an id of its own");
            } else {
                seen.insert(lower, index);
            }
            if let Some(what) = reserved(&check.id) {
                let message = format!("the id `{}` is {what}", shown("", &check.id));
                self.tell(message, &format!("{at}/id"), "choose one of your own, such as APP-orders-db");
            }
            self.agent_of(&at, &check.options);
            self.not_zero(&format!("{at}/timeout"), check.timeout.0);
            if check.longest(settings) > LONGEST {
                let message = match &check.policy {
                    Some(_) => "by its policy, all attempts may take longer than 5m".to_owned(),
                    None => format!("its {} attempts may take longer than 5m", check.retries + 1),
                };
                let key = ["policy", "timeout", "retries", "retry_delay"];
                let key = key.iter().find(|key| self.root.find(&format!("{at}/{key}")).is_some());
                let pointer = format!("{at}/{}", key.unwrap_or(&"timeout"));
                self.tell(
                    message,
                    &pointer,
                    "lower `timeout`, `retries` or `retry_delay`, or the policy's `deadline`",
                );
            }
            // What is shown of a file names every value, and loads again.
            let own = [("retries", check.retries > 0), ("retry_delay", check.retry_delay != RETRY_DELAY)];
            for (key, _) in own.into_iter().filter(|(_, given)| *given && check.policy.is_some()) {
                let message = format!("a check has a policy or `{key}`, not both");
                self.tell(message, &format!("{at}/{key}"), "its policy says how often it is asked again");
            }
        }
    }
}

impl Verifier<'_> {
    /// A check that is about an agent is about one of this file.
    pub(super) fn agent_of(&mut self, at: &str, options: &Json) {
        let Some(name) = options.get("agent").and_then(Json::as_str) else { return };
        let known = self.settings.agents.iter().map(|agent| agent.name.as_str());
        if known.clone().any(|agent| agent == name) {
            return;
        }
        let message = format!("there is no agent `{}` in this file", shown("agent", name));
        let problem = self.problem(message, self.place(&format!("{at}/options/agent")));
        self.problems.push(with_nearest(problem, name, known, "agents"));
    }
}

/// What the id means already, if it does.
pub(super) fn reserved(id: &str) -> Option<&'static str> {
    if Category::ALL.iter().any(|category| category.as_str().eq_ignore_ascii_case(id)) {
        return Some("the name of a category");
    }
    if id.eq_ignore_ascii_case(SOAK_WINDOW) {
        return Some("that of the item every soak begins with");
    }
    let ours = Category::ALL.iter().any(|category| {
        let (letters, rest) = id.split_at_checked(category.letters().len()).unwrap_or_default();
        let digits = rest.trim_start_matches(['-', '_', '.']);
        letters.eq_ignore_ascii_case(category.letters())
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    ours.then_some("in the form of the checks that agentctl brings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_ours_and_categories_are_reserved_in_any_case() {
        for id in [
            "DB-001",
            "db-7",
            "AO999",
            "se_1",
            "Security",
            "error-handling",
            "EH-000012",
            "AU.3",
            "Soak-Window",
        ] {
            assert!(reserved(id).is_some(), "{id}");
        }
        for id in ["APP-1", "DB-orders", "DB", "DBA-1", "SE-1a", "d", "authenticate"] {
            assert_eq!(reserved(id), None, "{id}");
        }
    }
}
