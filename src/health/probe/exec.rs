//! `exec`: runs a command and asks for its exit status. No shell, next to no environment, its own process group, of
//! which nothing is left when the look is over, however it ends.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{
        Target,
        words::{self, cut},
    },
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    env, fs,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::Command,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

/// How much of the end of the output is kept.
const TAIL: usize = 512;
/// What reaches the command of our environment, besides what describes the target.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ"];
/// How long the output may stay open after the end of the command.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Marks every process of one look, those that leave the group too.
const MARK: &str = "AGENTD_PROBE";

static LOOKS: AtomicU64 = AtomicU64::new(0);

/// Runs a command.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExecProbeOptions")]
pub struct Options {
    /// Program and arguments, no shell. `{port}`, `{host}`, `{pid}` and `{target}` are filled in.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The exit status that passes.
    #[serde(default)]
    expect_exit: i32,
    /// Where it runs; default `/`.
    #[serde(default)]
    workdir: Option<PathBuf>,
}

pub struct Exec {
    options: Options,
}

impl Probe for Exec {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "runs a command and asks for its exit status";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let problem = |pointer: &str, message: &str| OptionProblem {
            pointer: pointer.into(),
            message: message.into(),
            hint: None,
        };
        let mut problems = Vec::new();
        if options.command.first().is_none_or(String::is_empty) {
            problems.push(problem("/command", "names no program"));
        }
        if options.command.iter().any(|word| word.contains('\0')) {
            problems.push(problem("/command", "holds a NUL, which no argument can"));
        }
        if options.workdir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            problems.push(problem("/workdir", "is not absolute, and the daemon may run anywhere"));
        }
        if problems.is_empty() { Ok(Self { options }) } else { Err(problems) }
    }

    async fn look(&self, target: &Target) -> Seen {
        let words: Vec<String> = self.options.command.iter().map(|word| fill(word, target)).collect();
        let Some((program, args)) = words.split_first() else { return Err("names no program".into()) };
        let mark = format!("{}-{}", std::process::id(), LOOKS.fetch_add(1, Ordering::Relaxed));
        let (mut output, input) = output_pipe()?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .env(MARK, &mark)
            .current_dir(self.options.workdir.as_deref().unwrap_or("/".as_ref()))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(|error| words::plain(&error))?)
            .stderr(input)
            .kill_on_drop(true);
        // Listened for before there is a child whose end could be missed.
        let mut ends = signal(SignalKind::child()).map_err(|error| words::plain(&error))?;
        let spawned = command.spawn();
        // Holds the writing ends: with them open here, the output would never end.
        drop(command);
        let mut child = spawned.map_err(|error| format!("cannot run {program}: {}", words::plain(&error)))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| format!("cannot follow {program}"))?;
        let mut group = Group { leader: pid, mark, over: false };
        let mut tail = Vec::new();
        let mut chunk = [0; 4096];
        let mut open = true;
        while !has_ended(pid) {
            tokio::select! {
                _ = ends.recv() => {}
                read = output.read(&mut chunk), if open => match read {
                    Ok(count) if count > 0 => keep(&mut tail, &chunk[..count]),
                    _ => open = false,
                },
            }
        }
        // The leader is dead and not yet reaped, so its number still means this group and no other.
        group.kill();
        group.over = true;
        // The rest of what it said. One that left the group may hold the pipe open: it is not waited for.
        let rest = async {
            while let Ok(count) = output.read(&mut chunk).await
                && count > 0
            {
                keep(&mut tail, &chunk[..count]);
            }
        };
        let _ = timeout(LAST_WORDS, rest).await;
        let status =
            child.wait().await.map_err(|error| format!("cannot see how {program} ended: {error}"))?;
        if status.code() == Some(self.options.expect_exit) {
            return Ok(format!("{status}"));
        }
        let words = String::from_utf8_lossy(&tail);
        let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let said = last.map_or(String::new(), |line| format!(": {}", cut(line, 120)));
        Err(format!("{status}, want {}{said}", self.options.expect_exit))
    }
}

/// Has it ended? Leaves it unreaped, so that its number cannot be given to another process meanwhile.
fn has_ended(pid: Pid) -> bool {
    let asked =
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG);
    // An error means that there is no such child any more.
    !matches!(asked, Ok(None))
}

/// The processes of one look. Dropped before it is over (the deadline has passed), it leaves none of them alive.
struct Group {
    leader: Pid,
    mark: String,
    over: bool,
}

impl Group {
    fn kill(&self) {
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.kill();
        let mark = format!("{MARK}={}", self.mark);
        // Reading all of /proc takes milliseconds: not on a thread that others wait for.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || kill_marked(&mark))),
            Err(_) => kill_marked(&mark),
        }
    }
}

/// Kills what has left the group by a session of its own; again, until a round finds none, for one may just fork.
fn kill_marked(mark: &str) {
    for _ in 0..10 {
        let found = marked(mark);
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn marked(mark: &str) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
    };
    numbers.filter(carries).filter_map(Pid::from_raw).collect()
}

fn output_pipe() -> Result<(pipe::Receiver, std::io::PipeWriter), String> {
    let (reader, writer) = std::io::pipe().map_err(|error| words::plain(&error))?;
    let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(|error| words::plain(&error))?;
    Ok((reader, writer))
}

/// Appends, and forgets all but the end.
fn keep(tail: &mut Vec<u8>, chunk: &[u8]) {
    tail.extend_from_slice(chunk);
    let excess = tail.len().saturating_sub(TAIL);
    tail.drain(..excess);
}

fn fill(word: &str, target: &Target) -> String {
    if !word.contains('{') {
        return word.to_owned();
    }
    let number = |n: Option<String>| n.unwrap_or_default();
    word.replace("{port}", &number(target.port.map(|port| port.to_string())))
        .replace("{pid}", &number(target.pid.map(|pid| pid.to_string())))
        .replace("{host}", &target.host)
        .replace("{target}", &target.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Period,
        health::look::{
            look,
            tests::{ask, settings},
        },
        resilience::Clock,
    };
    use serde_json::json;
    use std::time::Instant;

    fn sh(script: &str) -> serde_json::Value {
        json!({"command": ["sh", "-c", script]})
    }

    #[tokio::test]
    async fn the_exit_status_decides_and_the_last_line_is_told() {
        let target = Target::local("a/0", Some(4321));
        assert!(ask("exec", sh("exit 0"), &target).await.ok);
        let seen = ask("exec", sh("echo first; echo it broke >&2; exit 3"), &target).await;
        assert!(!seen.ok && seen.detail.contains("exit status: 3, want 0: it broke"), "{}", seen.detail);
        let wanted = json!({"command": ["sh", "-c", "exit 3"], "expect_exit": 3});
        assert!(ask("exec", wanted, &target).await.ok);
        assert!(!ask("exec", sh("kill -9 $$"), &target).await.ok);
        let seen = ask("exec", json!({"command": ["/no/such/program"]}), &target).await;
        assert!(!seen.ok && seen.detail.contains("no such file"), "{}", seen.detail);
        let filled = json!({"command": ["test", "{port}{target}", "=", "4321a/0"]});
        assert!(ask("exec", filled, &target).await.ok);
    }

    #[tokio::test]
    async fn nothing_of_our_environment_reaches_it() {
        // Cargo sets this for every test.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let target = Target::local("a/0", None);
        let seen = ask("exec", sh("test -z \"$CARGO_MANIFEST_DIR\" && test -n \"$PATH\""), &target).await;
        assert!(seen.ok, "{}", seen.detail);
    }

    #[tokio::test]
    async fn output_without_end_neither_blocks_it_nor_fills_memory() {
        let target = Target::local("a/0", None);
        let seen = ask("exec", sh("head -c 5000000 /dev/zero; echo; echo done; exit 1"), &target).await;
        assert!(seen.detail.ends_with(": done"), "{}", seen.detail);
    }

    #[tokio::test]
    async fn a_child_left_in_the_background_neither_delays_the_look_nor_survives_it() {
        let began = Instant::now();
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("pid");
        let script = format!("sleep 300 & echo $! > {}; exit 0", file.display());
        assert!(ask("exec", sh(&script), &Target::local("a/0", None)).await.ok);
        assert!(began.elapsed() < Duration::from_secs(8), "it waited for the background");
        assert_gone(&file).await;
    }

    #[tokio::test]
    async fn at_the_deadline_the_group_dies_though_it_ignores_term_and_forks_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let (inner, outer) = (dir.path().join("inner"), dir.path().join("outer"));
        let script = format!(
            "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > {}; sleep 300; sleep 300' & \
             sh -c 'echo $$ > {}; exec sleep 300' & while :; do sleep 1; done",
            inner.display(),
            outer.display()
        );
        let mut asked = settings("exec", sh(&script));
        asked.deadline = Period::millis(1500);
        let seen = look(&asked, &Target::local("a/0", None), &Clock::system()).await;
        assert!(!seen.ok && seen.detail.contains("no answer"), "{}", seen.detail);
        assert_gone(&inner).await;
        assert_gone(&outer).await;
    }

    /// The process whose number the file holds must end, or be a zombie that somebody else has to reap.
    async fn assert_gone(file: &std::path::Path) {
        let pid = fs::read_to_string(file).expect("it was started").trim().to_owned();
        let alive = || {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| !rest.starts_with('Z')))
        };
        for _ in 0..500 {
            if !alive() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} survived");
    }
}
