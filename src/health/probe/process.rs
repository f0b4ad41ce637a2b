//! `process`: is the main process alive, no zombie, and within its memory? Asks the kernel, not the agent.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    domain::ByteSize,
    health::{Miss, Target},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs;

/// Asks the kernel for the main process of the instance.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProcessProbeOptions")]
pub struct Options {
    /// Fails when the main process has more than this resident.
    #[serde(default)]
    max_memory: Option<ByteSize>,
}

pub struct Process {
    options: Options,
}

impl Probe for Process {
    const NAME: &'static str = "process";
    const ABOUT: &'static str = "is the main process alive, and within its memory";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        Ok(Self { options })
    }

    async fn look(&self, target: &Target) -> Seen {
        let pid = target.pid.ok_or_else(|| Miss::Blind(format!("{target} has no process here")))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|_| format!("process {pid} does not exist"))?;
        judge(pid, &status, self.options.max_memory)
    }
}

/// From /proc/PID/status, which counts in kB whatever the size of a page.
fn judge(pid: i32, status: &str, max_memory: Option<ByteSize>) -> Seen {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let state = field("State:").ok_or_else(|| format!("process {pid} cannot be read"))?;
    // A process without memory of its own (a zombie) has no such line.
    let resident =
        field("VmRSS:").and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) << 10;
    match state.chars().next() {
        Some('Z' | 'X') => return Err(format!("process {pid} has ended and is not reaped").into()),
        Some('T' | 't') => return Err(format!("process {pid} is stopped").into()),
        _ => {}
    }
    match max_memory {
        Some(most) if resident > most.0 => {
            Err(format!("process {pid} has {} MiB resident, want at most {most}", resident >> 20).into())
        }
        _ => Ok(format!("process {pid} is alive, {} MiB resident", resident >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::look::tests::ask;
    use serde_json::json;
    use std::process::Command;

    #[test]
    fn states_are_told_apart() {
        let status = |state: &str, kb: u64| format!("Name:\tState: Z\nState:\t{state}\nVmRSS:\t   {kb} kB\n");
        assert!(judge(7, &status("S (sleeping)", 1024), None).is_ok_and(|seen| seen.contains("1 MiB")));
        assert!(
            judge(7, "State:\tZ (zombie)\n", None).is_err_and(|miss| miss.detail().contains("not reaped"))
        );
        assert!(
            judge(7, &status("T (stopped)", 1), None).is_err_and(|miss| miss.detail().contains("stopped"))
        );
        assert!(judge(7, &status("R (running)", 2049), Some(ByteSize(2 << 20))).is_err());
        assert!(judge(7, &status("R (running)", 2048), Some(ByteSize(2 << 20))).is_ok());
        assert!(judge(7, "", None).is_err());
    }

    #[tokio::test]
    async fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().expect("a child");
        let mut target = Target::local("a/0", None);
        target.pid = i32::try_from(child.id()).ok();
        let mut seen = ask("process", json!({}), &target).await;
        for _ in 0..500 {
            if !seen.ok {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            seen = ask("process", json!({}), &target).await;
        }
        assert!(seen.detail.contains("not reaped"), "{}", seen.detail);
        child.wait().expect("its end");
        assert!(ask("process", json!({}), &target).await.detail.contains("does not exist"));
        assert!(!ask("process", json!({}), &Target::local("db", None)).await.ok, "no process passed");
    }
}
