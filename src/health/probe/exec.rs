//! `exec`: runs a command and asks for its exit status. No shell, next to no environment, its own process group, of
//! which nothing is left when the look is over, however it ends.
use super::{Probe, Seen};
use crate::{
    config::OptionProblem,
    health::{
        Miss, Target,
        expect::{Expect, ExpectSettings},
        words::{self, cut},
    },
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
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
/// How much of the standard output is looked at.
const MOST_OUTPUT: usize = 64 << 10;
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

pub struct Exec {
    options: Options,
    expect: Expect,
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
        let expected = ExpectSettings {
            body: options.stdout.clone(),
            json: options.json.clone(),
            ..ExpectSettings::default()
        };
        match Expect::compile(&expected) {
            Ok(expect) if problems.is_empty() => Ok(Self { options, expect }),
            Ok(_) => Err(problems),
            Err(inner) => {
                let at = |pointer: String| if pointer == "/body" { "/stdout".into() } else { pointer };
                problems.extend(inner.into_iter().map(|p| OptionProblem { pointer: at(p.pointer), ..p }));
                Err(problems)
            }
        }
    }

    async fn look(&self, target: &Target) -> Seen {
        let words: Vec<String> = self.options.command.iter().map(|word| fill(word, target)).collect();
        let Some((program, args)) = words.split_first() else { return Err(Miss::blind("names no program")) };
        let mark = format!("{}-{}", std::process::id(), LOOKS.fetch_add(1, Ordering::Relaxed));
        let (mut output, said_out) = output_pipe()?;
        let (mut errors, said_err) = output_pipe()?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .env(MARK, &mark)
            .current_dir(self.options.workdir.as_deref().unwrap_or("/".as_ref()))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(said_out)
            .stderr(said_err)
            .kill_on_drop(true);
        // Listened for before there is a child whose end could be missed.
        let mut ends = signal(SignalKind::child()).map_err(|error| Miss::Blind(words::plain(&error)))?;
        let spawned = command.spawn();
        // Holds the writing ends: with them open here, the output would never end.
        drop(command);
        let mut child = spawned
            .map_err(|error| Miss::Blind(format!("cannot run {program}: {}", words::plain(&error))))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| Miss::Blind(format!("cannot follow {program}")))?;
        let mut group = Group { leader: pid, mark, over: false };
        let mut said = Said::default();
        let (mut chunk, mut other) = ([0; 4096], [0; 4096]);
        let (mut open, mut complaining) = (true, true);
        while !has_ended(pid) {
            tokio::select! {
                _ = ends.recv() => {}
                read = output.read(&mut chunk), if open => match read {
                    Ok(count) if count > 0 => said.out(&chunk[..count]),
                    _ => open = false,
                },
                read = errors.read(&mut other), if complaining => match read {
                    Ok(count) if count > 0 => said.complained(&other[..count]),
                    _ => complaining = false,
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
                said.out(&chunk[..count]);
            }
            while let Ok(count) = errors.read(&mut other).await
                && count > 0
            {
                said.complained(&other[..count]);
            }
        };
        let _ = timeout(LAST_WORDS, rest).await;
        let status = child
            .wait()
            .await
            .map_err(|error| Miss::Blind(format!("cannot see how {program} ended: {error}")))?;
        if status.code() == Some(self.options.expect_exit) {
            self.expect.check_text("standard output", &said.out, said.whole)?;
            return Ok(format!("{status}"));
        }
        Err(format!("{status}, want {}{}", self.options.expect_exit, said.last_words()).into())
    }
}

/// What a command said: the beginning of its standard output, and the end of that and of its complaints.
struct Said {
    out: Vec<u8>,
    whole: bool,
    end: Vec<u8>,
    complaints: Vec<u8>,
}

impl Default for Said {
    fn default() -> Self {
        Self { out: Vec::new(), whole: true, end: Vec::new(), complaints: Vec::new() }
    }
}

impl Said {
    fn out(&mut self, chunk: &[u8]) {
        let room = MOST_OUTPUT - self.out.len();
        self.out.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.whole &= chunk.len() <= room;
        keep(&mut self.end, chunk);
    }

    fn complained(&mut self, chunk: &[u8]) {
        keep(&mut self.complaints, chunk);
    }

    /// Of its complaints, if it had any.
    fn last_words(&self) -> String {
        let last = |tail: &[u8]| {
            let words = String::from_utf8_lossy(tail);
            let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
            last.map(|line| format!(": {}", cut(line, 120)))
        };
        last(&self.complaints).or_else(|| last(&self.end)).unwrap_or_default()
    }
}

/// Appends, and forgets all but the end.
fn keep(tail: &mut Vec<u8>, chunk: &[u8]) {
    tail.extend_from_slice(chunk);
    let excess = tail.len().saturating_sub(TAIL);
    tail.drain(..excess);
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

fn output_pipe() -> Result<(pipe::Receiver, std::io::PipeWriter), Miss> {
    let broken = |error: std::io::Error| Miss::Blind(words::plain(&error));
    let (reader, writer) = std::io::pipe().map_err(broken)?;
    let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(broken)?;
    Ok((reader, writer))
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
#[path = "exec_tests.rs"]
mod tests;
