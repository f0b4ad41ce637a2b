//! `variables`: many environment variables at once, present and well formed. Their values are compared and never shown.
use super::{
    env::Env,
    kind::{Look, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, domain::Outcome, health::Want, readiness::Found};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Looks at environment variables, and never shows their values.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VariablesCheckOptions")]
pub struct Options {
    /// Whose: every instance of this agent, as it was started; default the daemon's own.
    #[serde(default)]
    agent: Option<String>,
    /// Name → what it must be: exact, or a string such as `>= 1`, `!= debug`, `/regex/`; an empty string: anything but
    /// nothing.
    #[schemars(length(min = 1))]
    variables: BTreeMap<String, Value>,
}

pub struct Variables(Vec<Env>, String);

impl Look for Variables {
    const NAME: &'static str = "variables";
    const ABOUT: &'static str =
        "looks whether environment variables are there and well formed, and never shows them";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.variables.is_empty() {
            let hint = Some("variables = { DATABASE_URL = \"/^postgres/\" }");
            problems.push(problem("/variables", "names none", hint));
        }
        let mut all = Vec::new();
        for (name, value) in &options.variables {
            let at = format!("/variables/{}", name.replace('~', "~0").replace('/', "~1"));
            if name.is_empty() || name.contains(['=', '\0']) {
                problems.push(problem(&at, "is no name for a variable", Some("use letters, digits and _")));
            }
            let given = Some(value).filter(|value| value.as_str() != Some(""));
            match given.map(Want::parse).transpose() {
                Ok(want) => all.push(Env::of(name.clone(), options.agent.clone(), want)),
                Err(why) => problems.push(problem(&at, why, None)),
            }
        }
        let whose = options.agent.map_or_else(|| "env".into(), |agent| format!("agent/{agent}/env"));
        if problems.is_empty() { Ok(Self(all, whose)) } else { Err(problems) }
    }

    fn resource(&self) -> String {
        self.1.clone()
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        let mut seen = Vec::new();
        for variable in &self.0 {
            seen.push(variable.look(scene).await);
        }
        let of = |outcome: Outcome| seen.iter().filter(move |found| found.outcome == outcome);
        let wrong = of(Outcome::Fail).count();
        let found = match (of(Outcome::Fail).next(), seen.iter().find(|f| f.outcome != Outcome::Pass)) {
            (Some(first), _) => {
                Found::fail(format!("{wrong} of {} are not so: {}", seen.len(), first.summary))
            }
            (None, Some(blind)) => blind.clone(),
            (None, None) => Found::pass(format!("all {} are there and well formed", seen.len())),
        };
        found.all_seen(seen.iter().map(|found| format!("{}: {}", found.outcome.as_str(), found.summary)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    #[tokio::test]
    async fn one_that_is_missing_or_malformed_fails_all_and_no_value_is_shown() {
        let fleet = FleetSnapshot::default();
        let value = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let fine = json!({"variables": {"CARGO_MANIFEST_DIR": "/^[/]/", "PATH": ""}});
        let found = tried("variables", fine, &fleet).await;
        assert!(found.outcome == Outcome::Pass && found.summary.contains("all 2"), "{found:?}");
        for wrong in [
            json!({"CARGO_MANIFEST_DIR": "/^relative/", "PATH": ""}),
            json!({"AGENTD_NO_SUCH_VARIABLE": "", "CARGO_MANIFEST_DIR": "", "PATH": ""}),
        ] {
            let found = tried("variables", json!({ "variables": wrong }), &fleet).await;
            assert!(found.outcome == Outcome::Fail && found.summary.contains("1 of "), "{found:?}");
            assert!(!format!("{found:?}").contains(&value), "the value is shown: {found:?}");
        }
        let nobodys = json!({"agent": "nobody", "variables": {"PATH": ""}});
        assert_eq!(tried("variables", nobodys, &fleet).await.outcome, Outcome::Error);
    }

    #[test]
    fn none_or_no_name_is_a_problem() {
        assert_eq!(refused("variables", json!({"variables": {}})), ["/variables"]);
        assert_eq!(refused("variables", json!({"variables": {"A=B": ""}})), ["/variables/A=B"]);
        assert_eq!(refused("variables", json!({"variables": {"A": "/(/"}})), ["/variables/A"]);
    }
}
