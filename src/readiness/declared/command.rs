//! `command`: runs a program, without a shell, and asserts on how it ends and what it prints. Its process group is
//! gone when the look is over, however it ends.
use super::{
    kind::{Look, eye, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, health::Eye, readiness::Found};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

/// Runs a command.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CommandCheckOptions")]
pub struct Options {
    /// Program and arguments, no shell. It has PATH, HOME, LANG and TZ of the daemon, and no secret.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The exit status that passes.
    #[serde(default)]
    expect_exit: i32,
    /// Text that its standard output must contain, or `/regex/`.
    #[serde(default)]
    stdout: Option<String>,
    /// JSON path → what must be there in its standard output: exact, or a string such as `>= 1`, `!= down`, `/regex/`.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Where it runs; default `/`.
    #[serde(default)]
    workdir: Option<PathBuf>,
}

pub struct Command {
    eye: Eye,
    resource: String,
}

impl Look for Command {
    const NAME: &'static str = "command";
    const ABOUT: &'static str = "runs a program and asserts on its exit status and output";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        const SLOTS: [&str; 4] = ["{port}", "{host}", "{pid}", "{target}"];
        let mut problems = Vec::new();
        for (index, word) in options.command.iter().enumerate() {
            if SLOTS.iter().any(|slot| word.contains(slot)) {
                let message = "asks for what only the probe of an agent has";
                problems.push(problem(&format!("/command/{index}"), message, Some("write it out")));
            }
        }
        let resource = format!("command/{}", options.command.first().map_or("", String::as_str));
        match eye("exec", &options, &[]) {
            Ok(eye) if problems.is_empty() => Ok(Self { eye, resource }),
            Ok(_) => Err(problems),
            Err(inner) => Err(problems.into_iter().chain(inner).collect()),
        }
    }

    fn resource(&self) -> String {
        self.resource.clone()
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        scene.see(&self.eye, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    #[tokio::test]
    async fn how_it_ends_and_what_it_prints_decide_and_a_program_that_is_not_there_is_no_answer() {
        let fleet = FleetSnapshot::default();
        let sh = |script: &str| json!({"command": ["sh", "-c", script], "stdout": "/^ok$/"});
        for (options, outcome, told) in [
            (sh("printf ok"), Outcome::Pass, "exit status: 0"),
            (sh("printf ko"), Outcome::Fail, "standard output lacks"),
            (sh("printf ok; echo broken >&2; exit 3"), Outcome::Fail, "exit status: 3, want 0: broken"),
            (sh("kill -9 $$"), Outcome::Fail, "signal"),
            (json!({"command": ["/no/such/program"]}), Outcome::Error, "no such file"),
            (json!({"command": ["/proc/version"]}), Outcome::Error, "permission denied"),
        ] {
            let found = tried("command", options.clone(), &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{options}: {found:?}");
        }
    }

    #[test]
    fn what_cannot_be_run_or_compared_is_a_problem() {
        assert_eq!(refused("command", json!({"command": []})), ["/command"]);
        assert_eq!(refused("command", json!({"command": ["x", "{port}"]})), ["/command/1"]);
        assert_eq!(
            refused("command", json!({"command": ["x"], "workdir": "a", "json": {"a": 1}})),
            ["/workdir", "/json/a"]
        );
    }
}
