//! Before a child and after it: what it is spawned with, why it may not be, and what its end means.
use super::{
    artifact::{self, Code},
    child::{Ended, Group, SpawnSpec, Stdin},
    crash,
    plan::Plan,
    ports,
    runtime::{Channel, Launch, PortChoice, Slots},
    shared::Shared,
    streams::{self, Streams},
    users,
};
use crate::{
    config,
    domain::{CrashClass, ExitReport, Fault, FaultKind, InstanceId, ReleaseId},
    errors::Redactor,
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use std::{
    env,
    ffi::OsString,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
};

/// Of a line of last words, in characters.
const LONGEST_LINE: usize = 2_000;

/// Ready to be spawned.
pub struct Start {
    pub port: Option<u16>,
    /// Whose artifact it runs.
    pub release: Option<ReleaseId>,
    pub spawn: SpawnSpec,
}

/// Why nothing was spawned.
pub enum Refusal {
    /// By whom.
    PortHeld(String),
    Failed(CrashClass, Fault),
}

/// Port, secrets, environment, cgroup. Secrets live in the returned environment only.
pub async fn prepare(
    shared: &Shared,
    id: &InstanceId,
    plan: &Plan,
    launch: &Launch,
) -> Result<Start, Refusal> {
    let port = choose_port(plan, launch, id.index)?;
    let agentctl = shared.agentctl.to_string_lossy();
    let code = code_of(shared, plan)?;
    let artifact = code.as_ref().map(|code| code.dir.to_string_lossy());
    let slots = Slots {
        name: id.agent.as_str(),
        index: plan.candidacy.map_or(id.index, |candidacy| candidacy.index),
        port,
        agentctl: &agentctl,
        artifact: artifact.as_deref(),
    };
    let workdir = launch.workdir.as_ref().map(|dir| PathBuf::from(slots.fill(&dir.to_string_lossy())));
    let mut environment = given(shared, id, plan, workdir.as_deref(), port);
    for (name, value) in &launch.environment {
        let secret = config::resolve(value).await.map_err(|fault| {
            let class = match fault.kind {
                FaultKind::Timeout | FaultKind::Unavailable | FaultKind::Busy => CrashClass::Unknown,
                _ => CrashClass::Configuration,
            };
            Refusal::Failed(class, fault)
        })?;
        // Nothing that the agent prints of it goes further than its own log.
        if config::is_reference(value) {
            shared.errors.redactor().know(&secret);
        }
        // A secret is taken as it is: braces in it are its own.
        let text = secret.expose_secret();
        let text = if config::is_reference(value) { text.to_owned() } else { slots.fill(text) };
        environment.retain(|(given, _)| given != name.as_str());
        environment.push((name.into(), text.into()));
    }
    let (stdin, stdout, stderr) = streams::fifos(&shared.paths, id);
    let memory = plan.settings.limits.memory.map(|bytes| bytes.0);
    let spawn = SpawnSpec {
        instance: id.clone(),
        argv: launch.command.iter().map(|argument| slots.fill(argument)).collect(),
        environment,
        workdir,
        limits: plan.settings.limits.clone(),
        user: plan.user,
        cgroup: shared.cgroups.as_ref().and_then(|tree| tree.create(id, memory)),
        own_uid: users::own(plan.user, id.index),
        stdin: if launch.channel == Channel::None { Stdin::Null } else { Stdin::Fifo(stdin) },
        stdout,
        stderr,
        fleet_id: shared.fleet_id.clone(),
    };
    Ok(Start { port, release: code.and_then(|code| code.release), spawn })
}

/// What an agent without an artifact gets is nothing; one whose artifact is not where it should be does not start.
fn code_of(shared: &Shared, plan: &Plan) -> Result<Option<Code>, Refusal> {
    let release = plan.candidacy.map(|candidacy| candidacy.release);
    artifact::code_of(&plan.settings, &shared.paths.releases, plan.user, release)
        .map_err(|fault| Refusal::Failed(CrashClass::Configuration, fault))
}

/// A spawn that failed: a mistake in the manifest will fail again, anything else may pass.
pub fn spawn_refusal(fault: Fault) -> Refusal {
    let class = match fault.kind {
        FaultKind::Config | FaultKind::NotFound | FaultKind::Usage | FaultKind::Refused => {
            CrashClass::NotExecutable
        }
        _ => CrashClass::Unknown,
    };
    Refusal::Failed(class, fault)
}

/// The fixed port if nobody has it, or one that is free now.
fn choose_port(plan: &Plan, launch: &Launch, index: u32) -> Result<Option<u16>, Refusal> {
    let failed = |what: String| {
        Refusal::Failed(
            CrashClass::Unknown,
            Fault::internal(format!("cannot find a port for {}: {what}", plan.name())),
        )
    };
    if launch.port == Some(PortChoice::Any) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        return listener.map(|address| Some(address.port())).map_err(|error| failed(error.to_string()));
    }
    let Some(port) = plan.port(index) else { return Ok(None) };
    let port = port.ok_or_else(|| failed("its replica's port would pass 65535".into()))?;
    let bind = || TcpListener::bind(("0.0.0.0", port)).map(drop);
    match preflight(port, ports::is_listening(port), bind, ports::holders) {
        Some(holder) => Err(Refusal::PortHeld(holder)),
        None => Ok(Some(port)),
    }
}

/// Who keeps the port from us; none if nobody seems to. Where the kernel's list cannot be read, an attempt to bind
/// tells held from free, though not by whom.
fn preflight(
    port: u16,
    listed: io::Result<bool>,
    bind: impl FnOnce() -> io::Result<()>,
    holders: impl FnOnce(u16) -> io::Result<Vec<ports::Holder>>,
) -> Option<String> {
    match listed {
        Ok(false) => None,
        Ok(true) => {
            let holders = holders(port).unwrap_or_default();
            let who = holders.first().map_or_else(
                || "a process of another user".to_owned(),
                |holder| format!("pid {} ({})", holder.pid, holder.command.escape_debug()),
            );
            Some(format!("port {port} is held by {who}"))
        }
        Err(blind) => match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("port {port} is held, and who holds it cannot be seen: /proc/net/tcp: {blind}"))
            }
            tried => {
                // The program itself will say if it cannot bind; that nobody looked must be known then.
                let bound = tried.map_or_else(|error| error.to_string(), |()| "it could be bound".to_owned());
                tracing::warn!(port, %blind, bound, "cannot see who listens: /proc/net/tcp cannot be read");
                None
            }
        },
    }
}

/// What every child gets, and nothing of the daemon's own beside it.
fn given(
    shared: &Shared,
    id: &InstanceId,
    plan: &Plan,
    workdir: Option<&Path>,
    port: Option<u16>,
) -> Vec<(OsString, OsString)> {
    let inherited = |name: &str, fallback: &str| env::var_os(name).unwrap_or_else(|| fallback.into());
    // Another user cannot use the daemon's home.
    let home = match (&plan.user, workdir) {
        (None, _) => inherited("HOME", "/"),
        (Some(_), Some(workdir)) => workdir.as_os_str().to_owned(),
        (Some(_), None) => "/".into(),
    };
    let mut environment: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), inherited("PATH", "/usr/local/bin:/usr/bin:/bin")),
        ("HOME".into(), home),
        ("LANG".into(), inherited("LANG", "C.UTF-8")),
        ("AGENTD_AGENT".into(), id.agent.as_str().into()),
        ("AGENTD_INSTANCE".into(), id.to_string().into()),
        ("AGENTD_REPORT_SOCKET".into(), shared.paths.report_socket.clone().into_os_string()),
    ];
    environment.extend(port.map(|port| ("AGENTD_PORT".into(), port.to_string().into())));
    // For a program that takes work by itself: as a candidate it can leave that to the others.
    let release = plan.candidacy.map(|candidacy| candidacy.release.to_string());
    environment.extend(release.map(|release| ("AGENTD_CANDIDATE".into(), release.into())));
    environment
}

/// What an end meant.
pub struct End {
    ended: Option<Ended>,
    /// None if it ended well, or was asked to.
    pub class: Option<CrashClass>,
    /// For people: one line.
    pub reason: String,
    last_words: Option<String>,
    /// What to do about it.
    hint: Option<&'static str>,
}

impl End {
    pub fn report(&self, at: Timestamp) -> ExitReport {
        ExitReport {
            at,
            code: self.ended.and_then(|ended| ended.code),
            signal: self.ended.and_then(|ended| ended.signal),
            class: self.class,
            last_words: self.last_words.clone(),
            hint: self.class.and(self.hint).map(str::to_owned),
        }
    }
}

/// Reads its exit status and its last words. An end that was asked for is no failure, however it looks; an adopted
/// child's end cannot be seen and counts as one.
pub async fn examine(
    ended: Option<Ended>,
    adopted: bool,
    asked: bool,
    streams: Option<&Streams>,
    group: &Group,
    redactor: &Redactor,
) -> End {
    let words = match streams {
        Some(streams) => streams.last_words().await,
        None => Vec::new(),
    };
    // Whoever shows or keeps them need not think of secrets; the agent's own log has them as they were.
    let words: Vec<String> = words.iter().map(|line| redactor.clean(line.as_ref(), LONGEST_LINE)).collect();
    let starved = group.cgroup.as_ref().is_some_and(super::cgroup::Cgroup::ran_out_of_memory);
    let unseen = Ended { code: None, signal: None };
    let (class, last_words) = crash::classify(ended.unwrap_or(unseen), &words, starved);
    let how = match ended {
        Some(Ended { code: Some(code), .. }) => format!("exit code {code}"),
        Some(Ended { signal: Some(signal), .. }) => format!("ended by signal {signal}"),
        _ if adopted => "ended, and its exit status is unknown because it was adopted".into(),
        _ => "ended, and its exit status is unknown".into(),
    };
    let well = ended.is_some_and(|ended| ended.code == Some(0));
    if asked || well {
        return End { ended, class: None, reason: how, last_words: None, hint: None };
    }
    let reason = obituary(class, &how, last_words.as_deref());
    End { ended, class: Some(class), reason, last_words, hint: hint(class) }
}

/// `import error: ModuleNotFoundError: No module named 'x' (exit code 1)`. The words are untrusted: control characters
/// are escaped, and nothing else, so that they read as they were printed.
fn obituary(class: CrashClass, how: &str, words: Option<&str>) -> String {
    let words = words.map(|words| {
        words.chars().fold(String::with_capacity(words.len()), |mut plain, letter| {
            if letter.is_control() {
                plain.extend(letter.escape_default());
            } else {
                plain.push(letter);
            }
            plain
        })
    });
    match (class, words) {
        (CrashClass::Unknown, Some(words)) => format!("{how}: {words}"),
        (CrashClass::Unknown, None) => how.to_owned(),
        (class, Some(words)) => format!("{}: {words} ({how})", class.as_str()),
        (class, None) => format!("{} ({how})", class.as_str()),
    }
}

/// What to do about it, where one thing is likely.
fn hint(class: CrashClass) -> Option<&'static str> {
    match class {
        CrashClass::Import => Some("install what is missing where its `command` runs, then start it"),
        CrashClass::Configuration => Some("mend its `environment` or its own settings, then start it"),
        CrashClass::NotExecutable => Some("mend its `command`, then start it"),
        CrashClass::PortInUse => Some("`ss -ltnp` names who listens"),
        CrashClass::OutOfMemory => Some("raise limits.memory, or find what it keeps"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_each_thing_once_and_quotes_as_it_was_printed() {
        let words = Some("ModuleNotFoundError: No module named 'langgraph'");
        for (class, words, want) in [
            (
                CrashClass::Import,
                words,
                "import error: ModuleNotFoundError: No module named 'langgraph' (exit code 1)",
            ),
            (CrashClass::Unknown, Some("boom \"x\""), "exit code 1: boom \"x\""),
            (CrashClass::Unknown, None, "exit code 1"),
            (CrashClass::OutOfMemory, None, "out of memory (exit code 1)"),
            (CrashClass::Unknown, Some("a\u{1b}[2Jb\nc"), "exit code 1: a\\u{1b}[2Jb\\nc"),
        ] {
            assert_eq!(obituary(class, "exit code 1", words), want);
        }
    }

    #[test]
    fn a_port_nobody_could_look_up_is_not_taken_for_free() {
        let blind = || Err(io::ErrorKind::PermissionDenied.into());
        let taken = || Err(io::ErrorKind::AddrInUse.into());
        let unasked = |_| -> io::Result<Vec<ports::Holder>> { panic!("who holds it was looked up blindly") };
        let held = preflight(80, blind(), taken, unasked).expect("held");
        assert!(held.contains("port 80 is held") && held.contains("/proc/net/tcp"), "{held}");
        assert_eq!(preflight(80, blind(), || Ok(()), unasked), None);
        assert_eq!(preflight(80, blind(), || Err(io::ErrorKind::PermissionDenied.into()), unasked), None);
        let unseen = preflight(80, Ok(true), || Ok(()), |_| Ok(Vec::new())).expect("held");
        assert!(unseen.contains("another user"), "{unseen}");
        assert_eq!(preflight(80, Ok(false), taken, unasked), None, "a free port is not bound for nothing");
    }
}
