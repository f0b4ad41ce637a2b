//! What an instance is started from, before any secret is looked up: templates, references, a choice of port.
//! The rules that all spawned kinds share for commands and environments stand here once.
use crate::config::{self, OptionProblem};
use std::{collections::BTreeMap, path::PathBuf};

/// What starting an instance amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    Spawn(Launch),
    /// It runs elsewhere: there is nothing to start and nothing to stop.
    External,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments with their placeholders.
    pub command: Vec<String>,
    pub workdir: Option<PathBuf>,
    /// Literals and references (`env:`, `file:`, `exec:`), with placeholders.
    pub environment: BTreeMap<String, String>,
    pub port: Option<PortChoice>,
    pub channel: Channel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// Replica i listens on this plus i.
    From(u16),
    /// Any that is free when it starts.
    Any,
}

/// How the daemon talks to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It does not: the agent serves on a port, or does not listen at all.
    None,
    /// JSON-RPC over stdin and stdout; with `ping` an answer to one proves it ready.
    JsonRpc { ping: bool },
}

/// What placeholders stand for in one instance.
pub struct Slots<'a> {
    pub name: &'a str,
    pub index: u32,
    pub port: Option<u16>,
    pub agentctl: &'a str,
    /// The directory of its code.
    pub artifact: Option<&'a str>,
}

impl Slots<'_> {
    /// Replaces `{port}`, `{index}`, `{name}`, `{agentctl}` and `{artifact}`; other braces are the agent's own business.
    /// What is put in is not looked at again.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let slot = rest.find('}').map(|end| &rest[..=end]);
            let value = match slot {
                Some("{port}") => self.port.map(|port| port.to_string()),
                Some("{index}") => Some(self.index.to_string()),
                Some("{name}") => Some(self.name.to_owned()),
                Some("{agentctl}") => Some(self.agentctl.to_owned()),
                Some("{artifact}") => self.artifact.map(str::to_owned),
                _ => None,
            };
            if let (Some(slot), Some(value)) = (slot, value) {
                filled.push_str(&value);
                rest = &rest[slot.len()..];
            } else {
                filled.push('{');
                rest = &rest[1..];
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// What a schema cannot say of a command and an environment.
pub fn problems(
    command: &[String],
    environment: &BTreeMap<String, String>,
    port: Option<u16>,
) -> Vec<OptionProblem> {
    let mut found = Vec::new();
    let mut add = |pointer: String, message: &str, hint: &str| {
        found.push(OptionProblem { pointer, message: message.into(), hint: Some(hint.into()) });
    };
    if command.first().is_none_or(String::is_empty) {
        add("/command".into(), "names no program", "write command = [\"PROGRAM\", \"ARGUMENT\"]");
    }
    for (at, argument) in command.iter().enumerate() {
        let pointer = format!("/command/{at}");
        if config::is_reference(argument) {
            add(
                pointer.clone(),
                "a secret in an argument is visible to every user of this machine",
                "put it into `environment` and let the program read it there",
            );
        }
        if argument.contains('\0') {
            add(pointer.clone(), "contains a zero byte", "remove it");
        }
        if argument.contains("{port}") && port.is_none() {
            add(pointer, "asks for {port}, but no port is given", "set `port`; 0 takes any free one");
        }
    }
    for (name, value) in environment {
        let pointer = format!("/environment/{}", name.replace('~', "~0").replace('/', "~1"));
        if name.is_empty() || name.contains(['=', '\0']) {
            add(pointer.clone(), "is no name for a variable", "use letters, digits and _");
        }
        if name.starts_with("AGENTD_") {
            add(pointer.clone(), "is set by agentd", "choose a name that does not start with AGENTD_");
        }
        if value.contains('\0') {
            add(pointer.clone(), "contains a zero byte", "remove it");
        }
        if let Err(why) = config::check_reference(value) {
            add(pointer, &why, "env:NAME, file:PATH or exec:PROGRAM ARGS");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slots(port: Option<u16>) -> Slots<'static> {
        Slots {
            name: "orders",
            index: 2,
            port,
            agentctl: "/opt/{port}/agentctl",
            artifact: Some("/releases/r-1/orders"),
        }
    }

    #[test]
    fn only_known_placeholders_are_filled_and_only_once() {
        let table = [
            ("--port={port}", "--port=8002"),
            ("{name}-{index}", "orders-2"),
            ("{agentctl}", "/opt/{port}/agentctl"),
            ("{artifact}/main.py", "/releases/r-1/orders/main.py"),
            ("{\"a\": {port}}", "{\"a\": 8002}"),
            ("{{port}}", "{8002}"),
            ("{prot} {", "{prot} {"),
            ("${HOME}", "${HOME}"),
        ];
        for (template, want) in table {
            assert_eq!(slots(Some(8002)).fill(template), want);
        }
        assert_eq!(slots(None).fill("{port}"), "{port}");
    }

    #[test]
    fn commands_refuse_secrets_and_variables_refuse_our_names() {
        let command = |text: &[&str]| text.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let none = BTreeMap::new();
        let pointers = |found: Vec<OptionProblem>| found.into_iter().map(|p| p.pointer).collect::<Vec<_>>();
        assert_eq!(pointers(problems(&command(&[]), &none, None)), ["/command"]);
        assert_eq!(pointers(problems(&command(&["x", "env:TOKEN"]), &none, None)), ["/command/1"]);
        assert_eq!(pointers(problems(&command(&["x", "{port}"]), &none, None)), ["/command/1"]);
        assert!(problems(&command(&["x", "{port}"]), &none, Some(0)).is_empty());
        let environment = BTreeMap::from([
            ("AGENTD_X".to_owned(), String::new()),
            ("A=B".to_owned(), String::new()),
            ("TOKEN".to_owned(), "env:TOKEN".to_owned()),
        ]);
        assert_eq!(
            pointers(problems(&command(&["x"]), &environment, None)),
            ["/environment/A=B", "/environment/AGENTD_X"]
        );
    }

    proptest! {
        #[test]
        fn filling_never_panics_and_leaves_plain_text_alone(text in "[^{}]*", any in ".*") {
            prop_assert_eq!(slots(Some(1)).fill(&text), text);
            slots(Some(1)).fill(&any);
        }
    }
}
