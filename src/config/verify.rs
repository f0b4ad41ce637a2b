//! What no single value shows: names that clash, dependencies that turn in a circle, limits that contradict each
//! other, secrets written out.
mod backups;
mod checklist;
mod credentials;
mod declared;
mod graph;
mod metrics;
mod policy;
mod quotas;
mod rehearsal;
mod releases;
mod roles;
mod rollout;
mod triggers;

use super::{
    AgentSettings, Kinds, ProbeSettings, Settings,
    check::{shown, with_nearest},
    problem::Problem,
    rest::Rest,
    secret, suspect,
    tree::{Layer, Node, Place, Value},
};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Adds every problem that it finds.
pub(super) fn verify(
    settings: &Settings,
    root: &Node,
    kinds: &Kinds,
    layers: &[Layer],
    problems: &mut Vec<Problem>,
) {
    let maimed = HashSet::new();
    let mut verifier = Verifier { settings, root, layers, problems, maimed: &maimed };
    verifier.dependencies();
    verifier.cycles();
    verifier.alone(kinds);
}

/// The same for a tree that lost what was wrong in it, less what only the loss would explain.
pub(super) fn verify_rest(
    settings: &Settings,
    rest: &Rest,
    kinds: &Kinds,
    layers: &[Layer],
    problems: &mut Vec<Problem>,
) {
    let mut verifier = Verifier { settings, root: &rest.root, layers, problems, maimed: &rest.maimed };
    if rest.all_named {
        verifier.dependencies();
        verifier.cycles();
    }
    verifier.alone(kinds);
}

struct Verifier<'a> {
    settings: &'a Settings,
    root: &'a Node,
    layers: &'a [Layer],
    problems: &'a mut Vec<Problem>,
    /// Pointers to what lost something that was wrong: what is missing there proves nothing.
    maimed: &'a HashSet<String>,
}

impl Verifier<'_> {
    /// What needs no other to be judged; of members that are `maimed`, their secrets alone.
    fn alone(&mut self, all: &Kinds) {
        let (settings, maimed) = (self.settings, self.maimed);
        self.numbers();
        self.credentials();
        self.names();
        self.ports();
        self.checks();
        self.checklist();
        self.roles();
        self.policies();
        self.quotas();
        self.releases();
        self.rehearsal();
        self.backups();
        self.metrics();
        self.triggers(all);
        self.rollout();
        for (index, agent) in settings.agents.iter().enumerate() {
            let at = format!("/agent/{index}");
            let whole = !maimed.contains(&at);
            if whole {
                self.agent(&at, agent);
                self.artifact(&at, agent);
            }
            self.options(&at, &agent.kind, &agent.options, if whole { &all.agents } else { &[] });
            for (index, probe) in agent.probes.iter().enumerate() {
                let at = format!("{at}/probe/{index}");
                if whole {
                    self.probe(&at, probe);
                }
                self.options(&at, &probe.kind, &probe.options, if whole { &all.probes } else { &[] });
            }
        }
        for (index, dependency) in settings.dependencies.iter().enumerate() {
            let at = format!("/dependency/{index}");
            let whole = !maimed.contains(&at);
            if whole {
                self.timing(&at, dependency.every.0, dependency.deadline.0);
            }
            let kinds = if whole { &all.probes[..] } else { &[] };
            self.options(&at, &dependency.kind, &dependency.options, kinds);
        }
        for (index, check) in settings.checks.iter().enumerate() {
            let at = format!("/check/{index}");
            let kinds = if maimed.contains(&at) { &[] } else { &all.checks[..] };
            self.options(&at, &check.kind, &check.options, kinds);
        }
        let of_items: Vec<_> = all.checks.iter().chain(&all.items).copied().collect();
        for (index, item) in settings.checklist.items.iter().enumerate() {
            let at = format!("/checklist/item/{index}");
            let kinds = if maimed.contains(&at) { &[] } else { &of_items[..] };
            self.options(&at, &item.kind, &item.options, kinds);
        }
    }

    fn place(&self, pointer: &str) -> Place {
        self.root.at(pointer).place
    }

    fn problem(&self, message: impl AsRef<str>, place: Place) -> Problem {
        Problem::new(message).at(&self.layers[place.layer as usize].text, place.span())
    }

    fn tell(&mut self, message: impl AsRef<str>, pointer: &str, hint: impl AsRef<str>) {
        let problem = self.problem(message, self.place(pointer));
        self.problems.push(problem.hint(hint));
    }

    fn numbers(&mut self) {
        let settings = self.settings;
        if settings.schema != 1 {
            let message = format!("this is format {}, and only 1 is known here", settings.schema);
            self.tell(message, "/schema", "write schema = 1, or use a newer agentd");
        }
        let store = &settings.store;
        if store.readers_min > store.readers_max {
            let message = format!(
                "`readers_min` is {} and above `readers_max`, which is {}",
                store.readers_min, store.readers_max
            );
            let at = if self.root.find("/store/readers_min").is_some() { "min" } else { "max" };
            self.tell(message, &format!("/store/readers_{at}"), "lower the one or raise the other");
        }
        for (name, count) in [("readers_max", store.readers_max), ("write_queue", store.write_queue)] {
            if count == 0 {
                self.tell(
                    format!("`{name}` must be at least 1"),
                    &format!("/store/{name}"),
                    "nothing could be done",
                );
            }
        }
        let weights = &settings.readiness.weights;
        for (category, weight) in weights {
            if *weight < 0.0 {
                let at = format!("/readiness/weights/{category}");
                self.tell(format!("the weight of {category} is negative"), &at, "0 leaves a category out");
            }
        }
        if weights.len() == crate::domain::Category::ALL.len()
            && weights.values().all(|weight| *weight == 0.0)
        {
            let message = "every weight is 0, so nothing is scored";
            self.tell(message, "/readiness/weights", "give one a weight above 0");
        }
        let level = &settings.daemon.log.level;
        if level.trim().is_empty()
            || tracing_subscriber::EnvFilter::try_new(level).is_err()
            || !plain_level(level)
        {
            let message = format!("`{}` is no log level", shown("level", level));
            self.tell(
                message,
                "/daemon/log/level",
                "error, warn, info, debug, trace, or info,agentctl::health=debug",
            );
        }
        for (pointer, period) in [
            ("/daemon/stop_deadline", settings.daemon.stop_deadline),
            ("/store/checkout_timeout", store.checkout_timeout),
            ("/readiness/check_deadline", settings.readiness.check_deadline),
            ("/approvals/valid_for", settings.approvals.valid_for),
        ] {
            self.not_zero(pointer, period.0);
        }
        for (key, contact) in &settings.contacts {
            if !contact.email.contains('@') {
                let message = format!("`{}` is no e-mail address", shown("email", &contact.email));
                self.tell(
                    message,
                    &format!("/contacts/{}/email", escape(key)),
                    "write it like oncall@shop.example",
                );
            }
        }
    }

    fn not_zero(&mut self, pointer: &str, period: std::time::Duration) {
        if period.is_zero() {
            let key = pointer.rsplit('/').next().unwrap_or(pointer);
            self.tell(format!("`{key}` must be longer than nothing"), pointer, "write it like 5s");
        }
    }

    fn agent(&mut self, at: &str, agent: &AgentSettings) {
        self.not_zero(&format!("{at}/start_timeout"), agent.start_timeout.0);
        self.not_zero(&format!("{at}/stop_timeout"), agent.stop_timeout.0);
        let unknown = |owner: &&String| !self.settings.contacts.contains_key(*owner);
        if let Some(owner) = agent.owner.as_ref().filter(unknown)
            && !self.maimed.contains("/contacts")
        {
            let message = format!("owner `{}` is not in [contacts]", shown("owner", owner));
            let problem = self.problem(message, self.place(&format!("{at}/owner")));
            let known = self.settings.contacts.keys().map(String::as_str);
            self.problems.push(if known.len() == 0 {
                problem.hint(format!("add [contacts.{}] with a name and an email", shown("owner", owner)))
            } else {
                with_nearest(problem, owner, known, "contacts")
            });
        }
        let mut seen = HashSet::new();
        for (index, probe) in agent.probes.iter().enumerate() {
            if !seen.insert(&probe.name) {
                let message =
                    format!("agent `{}` has two probes named `{}`", agent.name, shown("", &probe.name));
                self.tell(message, &format!("{at}/probe/{index}/name"), "give each a name of its own");
            }
        }
    }

    fn probe(&mut self, at: &str, probe: &ProbeSettings) {
        self.timing(at, probe.every.0, probe.deadline.0);
    }

    fn timing(&mut self, at: &str, every: std::time::Duration, deadline: std::time::Duration) {
        self.not_zero(&format!("{at}/every"), every);
        self.not_zero(&format!("{at}/deadline"), deadline);
        // One that is not written is never longer: `Settings::fit_deadlines`.
        let key = "deadline";
        if !every.is_zero() && deadline > every && self.root.find(&format!("{at}/{key}")).is_some() {
            let message = "the deadline is longer than the time between two looks";
            self.tell(message, &format!("{at}/{key}"), "make `deadline` at most `every`");
        }
    }

    /// Agents and dependencies share one space of names: `depends_on` speaks of both.
    fn names(&mut self) {
        let settings = self.settings;
        let agents = settings.agents.iter().enumerate().map(|(at, agent)| (agent.name.as_str(), "agent", at));
        let dependencies =
            settings.dependencies.iter().enumerate().map(|(at, dep)| (dep.name.as_str(), "dependency", at));
        let mut seen: HashMap<&str, (&str, usize)> = HashMap::new();
        for (name, list, index) in agents.chain(dependencies) {
            if let Err(why) = name.parse::<crate::domain::AgentName>() {
                self.tell(
                    why,
                    &format!("/{list}/{index}/name"),
                    "a name stands in paths and on command lines",
                );
            }
            if let Some((first, at)) = seen.get(name) {
                let line = self.place(&format!("/{first}/{at}/name"));
                let line = self.layers[line.layer as usize].text.line(line.start());
                let message =
                    format!("the name `{}` is taken by the {first} of line {line}", shown("", name));
                self.tell(message, &format!("/{list}/{index}/name"), "give each a name of its own");
            } else {
                seen.insert(name, (list, index));
            }
        }
    }

    /// Each replica of a service on a fixed port has the port after the one before it.
    fn ports(&mut self) {
        let settings = self.settings;
        let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
        for (index, agent) in settings.agents.iter().enumerate() {
            let port =
                agent.options.get("port").and_then(Json::as_u64).and_then(|port| u32::try_from(port).ok());
            let Some(port) = port.filter(|port| *port > 0) else { continue };
            let at = format!("/agent/{index}/options/port");
            let last = port.saturating_add(agent.replicas.saturating_sub(1));
            if last > u32::from(u16::MAX) {
                let message = format!("{} replicas from port {port} pass port 65535", agent.replicas);
                self.tell(message, &at, "choose a lower port, or 0 for free ones");
                continue;
            }
            if !agent.enabled {
                continue;
            }
            for port in port..=last {
                if let Some(other) = taken.get(&port).map(|other| &settings.agents[*other].name) {
                    let message =
                        format!("port {port} of agent `{}` is also one of agent `{other}`", agent.name);
                    self.tell(
                        message,
                        &at,
                        "choose another, or 0 for a free one; replicas take the ports after it",
                    );
                    break;
                }
                taken.insert(port, index);
            }
        }
    }

    /// The kind's own rules, and secrets written out.
    fn options(&mut self, at: &str, kind: &str, options: &Json, kinds: &[super::Kind]) {
        let pointer = format!("{at}/options");
        if let Some(kind) = kinds.iter().find(|known| known.name == kind) {
            for found in (kind.verify)(options) {
                let pointer = format!("{pointer}{}", found.pointer);
                let message = self.without_secret(&found.message, &pointer);
                let problem = self.problem(message, self.place(&pointer));
                self.problems.push(match found.hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
            }
        }
        if let Some(node) = self.root.find(&pointer) {
            self.secrets(node, "", false);
        }
    }

    /// A kind's message may repeat the value that it is about.
    fn without_secret(&self, message: &str, pointer: &str) -> String {
        let key = pointer.rsplit('/').next().unwrap_or_default();
        match self.root.find(pointer).and_then(Node::text) {
            Some(text) if text.len() > 3 && suspect::name_is_secret(key) && !secret::is_reference(text) => {
                message.replace(text, suspect::MASK)
            }
            _ => message.to_owned(),
        }
    }

    /// `judged` says that the name of the key counts too: not for what a reply is expected to hold.
    fn secrets(&mut self, node: &Node, key: &str, expected: bool) {
        match &node.value {
            Value::Text(text) => {
                if let Err(why) = secret::check_reference(text) {
                    let problem = self.problem(why, node.place);
                    self.problems.push(problem);
                } else if !secret::is_reference(text) && is_inline(key, text, expected) {
                    let key = if key.is_empty() { "a value".into() } else { format!("`{}`", shown("", key)) };
                    let problem = self.problem(format!("{key} looks like a secret, written out"), node.place);
                    self.problems.push(problem.label("anyone who reads this file has it").hint(
                        "refer to it: \"env:NAME\", \"file:PATH\" or \"exec:PROGRAM ARGS\"; and replace it, for it was seen",
                    ));
                }
            }
            Value::List(items) => {
                for item in items {
                    self.secrets(item, key, expected);
                }
            }
            Value::Table(table) => {
                for (name, entry) in table {
                    self.secrets(&entry.node, name, expected || name == "expect");
                }
            }
            _ => {}
        }
    }
}

fn is_inline(key: &str, text: &str, expected: bool) -> bool {
    if suspect::value_is_secret(text) {
        return true;
    }
    // `--api-key=…` on a command line.
    let flag = text.strip_prefix("--").and_then(|flag| flag.split_once('='));
    if let Some((name, value)) = flag {
        return suspect::name_is_secret(name)
            && suspect::could_be_secret(value)
            && !secret::is_reference(value);
    }
    !expected && suspect::name_is_secret(key) && suspect::could_be_secret(text)
}

/// A filter parses any word as the name of a target; a lone word must be a level.
fn plain_level(level: &str) -> bool {
    level.split(',').all(|part| {
        let part = part.trim();
        part.contains(['=', '[', ':'])
            || matches!(
                part.to_ascii_lowercase().as_str(),
                "error" | "warn" | "info" | "debug" | "trace" | "off"
            )
    })
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
