//! The checklist: items with names of their own, owners who are known, and an end that can be waited for.
use super::{Verifier, declared::reserved, shown, with_nearest};
use std::{collections::HashMap, time::Duration};

/// One item must not hold up the whole report.
const LONGEST: Duration = Duration::from_secs(300);

impl Verifier<'_> {
    pub(super) fn checklist(&mut self) {
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
}
