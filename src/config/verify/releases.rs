//! Releases: a way forward says whether there is one back, and an agent's artifact is used where it is named.
use super::Verifier;
use crate::config::{AgentSettings, problem::Severity, secret};
use serde_json::Value;

/// What stands for the directory of an agent's code.
const SLOT: &str = "{artifact}";

impl Verifier<'_> {
    pub(super) fn releases(&mut self) {
        let settings = self.settings;
        let releases = &settings.releases;
        if releases.dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            let message = "`dir` is not absolute, and the daemon may run anywhere";
            self.tell(message, "/releases/dir", "write the whole path");
        }
        if releases.max_size.0 == 0 {
            self.tell("`max_size` leaves room for nothing", "/releases/max_size", "write it like 4GiB");
        }
        let migration = &releases.migration;
        let at = |key: &str| format!("/releases/migration/{key}");
        if migration.irreversible && !migration.down.is_empty() {
            let message = "a migration with a way `down` is not `irreversible`";
            self.tell(message, &at("irreversible"), "take one of the two out");
        }
        if migration.up.is_empty() && (migration.irreversible || !migration.down.is_empty()) {
            let key = if migration.irreversible { "irreversible" } else { "down" };
            let message = format!("`{key}` speaks of a migration, and there is no `up`");
            self.tell(message, &at(key), "say in `up` what is run to migrate, or take it out");
        }
        if !migration.up.is_empty() && !migration.irreversible && migration.down.is_empty() {
            let hint = "write down = [\"PROGRAM\", \"ARGUMENT\"], or irreversible = true";
            self.tell("`up` has no way back", &at("up"), hint);
        }
        if migration.prepare.is_empty() && !migration.unprepare.is_empty() {
            let message = "`unprepare` speaks of a set-up, and there is no `prepare`";
            self.tell(message, &at("unprepare"), "say in `prepare` what is run to set it up, or take it out");
        }
        let commands = [
            ("up", &migration.up),
            ("down", &migration.down),
            ("prepare", &migration.prepare),
            ("unprepare", &migration.unprepare),
        ];
        for (key, command) in commands {
            for (nth, word) in command.iter().enumerate() {
                let at = format!("{}/{nth}", at(key));
                if nth == 0 && word.is_empty() {
                    self.tell("names no program", &at, "write the program first");
                }
                if word.contains('\0') {
                    self.tell("contains a zero byte", &at, "remove it");
                }
                if secret::is_reference(word) {
                    let message = "a secret in an argument is visible to every user of this machine";
                    self.tell(message, &at, "let the program read it from its environment or a file");
                }
            }
        }
    }

    /// `{artifact}` without `artifact` would be handed over as it is; `artifact` without it is code that nobody runs.
    pub(super) fn artifact(&mut self, at: &str, agent: &AgentSettings) {
        let used = uses(&agent.options);
        if agent.artifact.is_none() {
            for pointer in &used {
                let hint = "name the directory of its code: artifact = \"DIR\"";
                let message = "asks for {artifact}, but the agent has no `artifact`";
                self.tell(message, &format!("{at}/options{pointer}"), hint);
            }
            return;
        }
        if agent.artifact.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            self.tell("`artifact` names no directory", &format!("{at}/artifact"), "write its path");
        } else if used.is_empty() {
            let problem = self.problem("`artifact` is unused", self.place(&format!("{at}/artifact")));
            let mut problem = problem.hint("let `command`, `workdir` or `environment` speak of {artifact}");
            problem.severity = Severity::Warning;
            self.problems.push(problem);
        }
    }
}

/// Where in an agent's options the code is asked for.
fn uses(options: &Value) -> Vec<String> {
    let speaks = |value: &Value| value.as_str().is_some_and(|text| text.contains(SLOT));
    let mut found = Vec::new();
    for (nth, word) in options.get("command").and_then(Value::as_array).into_iter().flatten().enumerate() {
        found.extend(speaks(word).then(|| format!("/command/{nth}")));
    }
    found.extend(options.get("workdir").is_some_and(speaks).then(|| "/workdir".into()));
    for (name, value) in options.get("environment").and_then(Value::as_object).into_iter().flatten() {
        found.extend(speaks(value).then(|| format!("/environment/{}", super::escape(name))));
    }
    found
}
