//! `env`: a variable of the daemon, or of every running instance of an agent as the kernel has it. Its value is
//! compared and never shown.
use super::{
    kind::{Look, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, health::Want, readiness::Found};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{fs::File, io::Read};

/// No environment is longer; the kernel's own bound is a few MiB.
const LARGEST: u64 = 8 << 20;

/// Looks at an environment variable, and never shows its value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EnvCheckOptions")]
pub struct Options {
    /// Its name.
    variable: String,
    /// Whose: every instance of this agent, as it was started; default the daemon's own.
    #[serde(default)]
    agent: Option<String>,
    /// What it must be: exact, or a string such as `>= 1`, `!= debug`, `/regex/`. Default: not empty.
    #[serde(default)]
    expect: Option<Value>,
    /// It must not be set at all.
    #[serde(default)]
    absent: bool,
}

pub struct Env {
    variable: String,
    agent: Option<String>,
    want: Option<Want>,
    absent: bool,
}

impl Look for Env {
    const NAME: &'static str = "env";
    const ABOUT: &'static str = "looks at an environment variable, and never shows its value";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.variable.is_empty() || options.variable.contains(['=', '\0']) {
            problems.push(problem(
                "/variable",
                "is no name for a variable",
                Some("use letters, digits and _"),
            ));
        }
        if options.absent && options.expect.is_some() {
            problems.push(problem("/expect", "what must not be there has no value", None));
        }
        let want = options.expect.as_ref().map(Want::parse).transpose();
        let want = want.map_err(|why| problems.push(problem("/expect", why, None))).unwrap_or_default();
        let Options { variable, agent, absent, .. } = options;
        if problems.is_empty() { Ok(Self { variable, agent, want, absent }) } else { Err(problems) }
    }

    fn resource(&self) -> String {
        match &self.agent {
            Some(agent) => format!("agent/{agent}/env/{}", self.variable),
            None => format!("env/{}", self.variable),
        }
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        let Some(agent) = &self.agent else {
            let value = std::env::var_os(&self.variable);
            return self.judge("the daemon", value.as_ref().map(|value| value.as_encoded_bytes()));
        };
        let instances = match scene.instances(agent) {
            Ok(instances) => instances,
            Err(found) => return found,
        };
        let mut last = Found::error(format!("nobody could look at {agent}"));
        for instance in instances {
            let who = instance.id.to_string();
            last = match instance.pid.map(|pid| value_of(pid, &self.variable)) {
                Some(Ok(value)) => self.judge(&who, value.as_deref()),
                Some(Err(error)) => Found::error(format!("cannot see the environment of {who}: {error}")),
                None => Found::error(format!("{who} has no process here to look at")),
            };
            if last.outcome != crate::domain::Outcome::Pass {
                break;
            }
        }
        last
    }
}

impl Env {
    pub fn of(variable: String, agent: Option<String>, want: Option<Want>) -> Self {
        Self { variable, agent, want, absent: false }
    }

    fn judge(&self, who: &str, value: Option<&[u8]>) -> Found {
        let name = self.variable.escape_debug();
        let Some(value) = value else {
            let told = format!("{name} is not set for {who}");
            return if self.absent { Found::pass(told) } else { Found::fail(told) };
        };
        if self.absent {
            return Found::fail(format!("{name} is set for {who}, and must not be"));
        }
        match (&self.want, std::str::from_utf8(value)) {
            (None, _) if value.is_empty() => Found::fail(format!("{name} is empty for {who}")),
            (None, _) => Found::pass(format!("{name} is set for {who}")),
            (Some(_), Err(_)) => Found::fail(format!("{name} is not text for {who}")),
            (Some(want), Ok(text)) if want.fits_text(text) => {
                Found::pass(format!("{name} is as wanted for {who}"))
            }
            (Some(want), Ok(_)) => Found::fail(format!("{name} is set for {who} and not as wanted: {want}")),
        }
    }
}

/// From what the process was started with.
fn value_of(pid: i32, variable: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut environment = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(LARGEST).read_to_end(&mut environment)?;
    let entries = environment.split(|byte| *byte == 0);
    let value =
        |entry: &[u8]| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
    Ok(entries.into_iter().find_map(value))
}

#[cfg(test)]
mod tests {
    use super::{
        super::scene::{refused, tried},
        *,
    };
    use crate::domain::{FleetSnapshot, Outcome};
    use serde_json::json;

    #[tokio::test]
    async fn the_daemons_own_is_compared_and_never_shown() {
        let fleet = FleetSnapshot::default();
        let value = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let with = |key: &str, want: Value| json!({"variable": "CARGO_MANIFEST_DIR", key: want});
        for (options, outcome) in [
            (json!({"variable": "AGENTD_NO_SUCH_VARIABLE"}), Outcome::Fail),
            (json!({"variable": "AGENTD_NO_SUCH_VARIABLE", "absent": true}), Outcome::Pass),
            (with("absent", json!(true)), Outcome::Fail),
            (with("expect", json!("/^relative/")), Outcome::Fail),
            (with("expect", json!(">= 1")), Outcome::Fail),
            (with("expect", json!("/^[/]/")), Outcome::Pass),
            (json!({"variable": "CARGO_MANIFEST_DIR"}), Outcome::Pass),
            (json!({"variable": "PATH", "agent": "nobody"}), Outcome::Error),
        ] {
            let found = tried("env", options.clone(), &fleet).await;
            assert_eq!(found.outcome, outcome, "{options}: {found:?}");
            assert!(!format!("{found:?}").contains(&value), "the value is shown: {found:?}");
        }
    }

    #[test]
    fn a_process_is_asked_by_its_whole_name() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env_clear()
            .envs([("TOKEN", "hunter2"), ("EMPTY", "")])
            .spawn()
            .expect("a child");
        let pid = i32::try_from(child.id()).expect("a pid");
        let seen = ["TOKEN", "TOKE", "EMPTY", "PATH"].map(|name| value_of(pid, name));
        child.kill().and_then(|()| child.wait()).expect("its end");
        let [token, part, empty, path] = seen.map(|seen| seen.expect("looked"));
        assert_eq!((token.as_deref(), part), (Some(&b"hunter2"[..]), None));
        assert_eq!((empty.as_deref(), path), (Some(&b""[..]), None));
        let env = Env { variable: "EMPTY".into(), agent: None, want: None, absent: false };
        assert_eq!(env.judge("a", Some(b"")).outcome, Outcome::Fail, "empty counts as set");
        assert_eq!(env.judge("a", None).outcome, Outcome::Fail);
    }

    #[test]
    fn what_is_no_name_and_what_contradicts_itself_is_a_problem() {
        assert_eq!(refused("env", json!({"variable": "A=B"})), ["/variable"]);
        assert_eq!(refused("env", json!({"variable": "A", "absent": true, "expect": "x"})), ["/expect"]);
        assert_eq!(refused("env", json!({"variable": "A", "expect": "/(/"})), ["/expect"]);
    }
}
