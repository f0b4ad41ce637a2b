//! The checklist: items with names of their own, owners who are known, and an end that can be waited for.
use super::{Verifier, declared::reserved, shown, with_nearest};
use crate::domain::Period;
use std::{collections::HashMap, time::Duration};

/// One item must not hold up the whole report.
const LONGEST: Duration = Duration::from_secs(300);

/// In less there is no row of looks, and beyond it no minutes are kept by default.
const SHORTEST_SOAK: Period = Period::secs(30);
const LONGEST_SOAK: Period = Period::secs(14 * 86400);

impl Verifier<'_> {
    pub(super) fn checklist(&mut self) {
        self.soak();
        let settings = self.settings;
        let list = &settings.checklist;
        self.not_zero("/checklist/valid_for", list.valid_for.0);
        if list.valid_for > list.valid_max {
            let (less, most) = (list.valid_for, list.valid_max);
            let message = format!("`valid_for` is {less} and longer than `valid_max`, which is {most}");
            let at = if self.root.find("/checklist/valid_for").is_some() { "valid_for" } else { "valid_max" };
            self.tell(message, &format!("/checklist/{at}"), "lower the one or raise the other");
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, item) in list.items.iter().enumerate() {
            let at = format!("/checklist/item/{index}");
            let lower = item.id.to_ascii_lowercase();
            if let Some(first) = seen.get(&lower) {
                let line = self.place(&format!("/checklist/item/{first}/id"));
                let line = self.layers[line.layer as usize].text.line(line.start());
                let message = format!("the id `{}` is taken by the item of line {line}", shown("", &item.id));
                self.tell(message, &format!("{at}/id"), "give each an id of its own");
            } else {
                seen.insert(lower.clone(), index);
            }
            if let Some(what) = reserved(&item.id) {
                let message = format!("the id `{}` is {what}", shown("", &item.id));
                self.tell(message, &format!("{at}/id"), "choose one of your own, such as restore-rehearsed");
            } else if settings.checks.iter().any(|check| check.id.to_ascii_lowercase() == lower) {
                let message = format!("the id `{}` is that of a [[check]]", shown("", &item.id));
                self.tell(
                    message,
                    &format!("{at}/id"),
                    "kind = \"checks\" asks it: options = { ids = [\"…\"] }",
                );
            }
            self.agent_of(&at, &item.options);
            self.not_zero(&format!("{at}/timeout"), item.timeout.0);
            if item.timeout.0 > LONGEST {
                self.tell("it may take longer than 5m", &format!("{at}/timeout"), "lower `timeout`");
            }
            let unknown = |owner: &&String| !settings.contacts.contains_key(*owner);
            if let Some(owner) = item.owner.as_ref().filter(unknown)
                && !self.maimed.contains("/contacts")
            {
                let message = format!("owner `{}` is not in [contacts]", shown("owner", owner));
                let problem = self.problem(message, self.place(&format!("{at}/owner")));
                let known = settings.contacts.keys().map(String::as_str);
                self.problems.push(with_nearest(problem, owner, known, "contacts"));
            }
        }
    }

    fn soak(&mut self) {
        let soak = &self.settings.checklist.soak;
        let windows = [
            (("short_least", soak.short_least), ("short_most", soak.short_most)),
            (("extended_least", soak.extended_least), ("extended_most", soak.extended_most)),
        ];
        for ((least_key, least), (most_key, most)) in windows {
            let at = |key: &str| format!("/checklist/soak/{key}");
            if least < SHORTEST_SOAK {
                let message = format!("`{least_key}` is {least}; it must be at least {SHORTEST_SOAK}");
                self.tell(message, &at(least_key), "a look is made every ten seconds: give it some");
            }
            if most > LONGEST_SOAK {
                let message = format!("`{most_key}` is {most}, which is longer than 14d");
                self.tell(message, &at(most_key), "what is older than that is kept by the hour alone");
            }
            if least > most {
                let message =
                    format!("`{least_key}` is {least} and longer than `{most_key}`, which is {most}");
                let key = if self.root.find(&at(least_key)).is_some() { least_key } else { most_key };
                self.tell(message, &at(key), "lower the one or raise the other");
            }
        }
    }
}
