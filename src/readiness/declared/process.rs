//! `process`: how many processes of this machine have a command line that fits. Command lines are not shown: others
//! write them, and some hold what they should not.
use super::{
    kind::{Look, problem},
    scene::Scene,
};
use crate::{
    agents::procfs,
    config::OptionProblem,
    health::{TextWant, Want},
    readiness::{Found, proof::blocking},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How many of them are named.
const MOST_NAMED: usize = 10;

/// Counts the processes whose command line fits.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProcessCheckOptions")]
pub struct Options {
    /// Text that the first 200 characters of the command line must hold, or `/regex/`.
    #[schemars(length(min = 1))]
    command: String,
    /// How many there must be: a number, or `>= 1`, `!= 0`. Default: at least one.
    #[serde(default)]
    count: Option<Value>,
}

pub struct Process {
    command: Arc<TextWant>,
    count: Want,
}

impl Look for Process {
    const NAME: &'static str = "process";
    const ABOUT: &'static str = "counts the processes whose command line fits";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if options.command.is_empty() {
            problems.push(problem("/command", "fits every process", None));
        }
        let command =
            TextWant::parse(&options.command).map_err(|why| problems.push(problem("/command", why, None)));
        let count = Want::parse(&options.count.unwrap_or_else(|| json!(">= 1")));
        let count = count.map_err(|why| problems.push(problem("/count", why, None)));
        match (command, count) {
            (Ok(command), Ok(count)) if problems.is_empty() => Ok(Self { command: Arc::new(command), count }),
            _ => Err(problems),
        }
    }

    fn resource(&self) -> String {
        format!("process/{}", self.command)
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        let command = Arc::clone(&self.command);
        // Reads all of /proc: not on a thread that others wait for.
        let seen = blocking(move || {
            let alive = |pid: &i32| procfs::read(*pid).is_some_and(|process| !process.is_dead());
            let fits = |pid: &i32| *pid != procfs::own_pid() && command.fits(&procfs::command(*pid));
            Ok(procfs::pids().filter(|pid| fits(pid) && alive(pid)).collect::<Vec<i32>>())
        });
        match seen.await {
            Ok(pids) => self.judge(&pids),
            Err(fault) => fault.into(),
        }
    }
}

impl Process {
    fn judge(&self, pids: &[i32]) -> Found {
        let told = format!("{} processes fit {}, wanted {}", pids.len(), self.command, self.count);
        let found = match self.count.check(&json!(pids.len())) {
            Ok(()) => Found::pass(told),
            Err(_) => Found::fail(told),
        };
        let named: Vec<String> = pids.iter().take(MOST_NAMED).map(ToString::to_string).collect();
        if named.is_empty() { found } else { found.seen(format!("process {}", named.join(", "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use crate::domain::{FleetSnapshot, Outcome};
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    use serde_json::json;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn only_what_lives_counts_and_no_command_line_is_shown() {
        let fleet = FleetSnapshot::default();
        // A program of a name that nobody else has, since a dead process keeps nothing but that.
        let dir = tempfile::tempdir().expect("a directory");
        let name = format!("zz{}", std::process::id());
        std::os::unix::fs::symlink("/bin/sh", dir.path().join(&name)).expect("a program");
        let mut command = Command::new(dir.path().join(&name));
        let mut child = command.args(["-c", "read line"]).stdin(Stdio::piped()).spawn().expect("a child");
        let asked = |count: serde_json::Value| json!({"command": name, "count": count});
        let one = tried("process", asked(json!(1)), &fleet).await;
        let two = tried("process", asked(json!(">= 2")), &fleet).await;
        let by_pattern = tried("process", json!({"command": format!("/{name} -c read/")}), &fleet).await;
        child.kill().expect("killed");
        // Dead and not yet reaped, it still has a line in the table.
        let pid = i32::try_from(child.id()).expect("a pid");
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), ended).expect("its end");
        let kept = crate::agents::procfs::command(pid);
        let gone = tried("process", asked(json!(1)), &fleet).await;
        child.wait().expect("its end");
        assert_eq!(kept, name, "a dead process is told by its name");
        assert_eq!(
            (one.outcome, by_pattern.outcome),
            (Outcome::Pass, Outcome::Pass),
            "{one:?} {by_pattern:?}"
        );
        assert_eq!((two.outcome, gone.outcome), (Outcome::Fail, Outcome::Fail), "{two:?} {gone:?}");
        assert!(one.evidence[0].contains(&pid.to_string()), "{one:?}");
        assert_eq!(tried("process", asked(json!(0)), &fleet).await.outcome, Outcome::Pass);
    }

    #[test]
    fn what_fits_everything_or_is_no_number_is_a_problem() {
        assert_eq!(refused("process", json!({"command": "", "count": ">= many"})), ["/command", "/count"]);
        assert_eq!(refused("process", json!({"command": "/(/"})), ["/command"]);
    }
}
