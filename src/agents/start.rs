//! Before a child and after it: what it is spawned with, why it may not be, and what its end means.
use super::{
    child::{Ended, Group, SpawnSpec, Stdin},
    crash,
    plan::Plan,
    ports,
    runtime::{Channel, Launch, PortChoice, Slots},
    shared::Shared,
    streams::{self, Streams},
};
use crate::{
    config,
    domain::{CrashClass, ExitReport, Fault, FaultKind, InstanceId},
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use std::{env, ffi::OsString, net::TcpListener};

/// Ready to be spawned.
pub struct Start {
    pub port: Option<u16>,
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
    let slots = Slots { name: id.agent.as_str(), index: id.index, port, agentctl: &agentctl };
    let mut environment = given(shared, id, plan, launch, port);
    for (name, value) in &launch.environment {
        let secret = config::resolve(value).await.map_err(|fault| {
            let class = match fault.kind {
                FaultKind::Timeout | FaultKind::Unavailable | FaultKind::Busy => CrashClass::Unknown,
                _ => CrashClass::Configuration,
            };
            Refusal::Failed(class, fault)
        })?;
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
        workdir: launch.workdir.clone(),
        limits: plan.settings.limits.clone(),
        user: plan.user,
        cgroup: shared.cgroups.as_ref().and_then(|tree| tree.create(id, memory)),
        stdin: if launch.channel == Channel::None { Stdin::Null } else { Stdin::Fifo(stdin) },
        stdout,
        stderr,
        fleet_id: shared.fleet_id.clone(),
    };
    Ok(Start { port, spawn })
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
    // What cannot be looked up does not hold up a start: the program itself will say that it cannot bind.
    if !ports::is_listening(port).unwrap_or(false) {
        return Ok(Some(port));
    }
    let holders = ports::holders(port).unwrap_or_default();
    let who = holders.first().map_or_else(
        || "a process of another user".to_owned(),
        |holder| format!("pid {} ({})", holder.pid, holder.command.escape_debug()),
    );
    Err(Refusal::PortHeld(format!("port {port} is held by {who}")))
}

/// What every child gets, and nothing of the daemon's own beside it.
fn given(
    shared: &Shared,
    id: &InstanceId,
    plan: &Plan,
    launch: &Launch,
    port: Option<u16>,
) -> Vec<(OsString, OsString)> {
    let inherited = |name: &str, fallback: &str| env::var_os(name).unwrap_or_else(|| fallback.into());
    // Another user cannot use the daemon's home.
    let home = match (&plan.user, &launch.workdir) {
        (None, _) => inherited("HOME", "/"),
        (Some(_), Some(workdir)) => workdir.clone().into_os_string(),
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
}

impl End {
    pub fn report(&self, at: Timestamp) -> ExitReport {
        ExitReport {
            at,
            code: self.ended.and_then(|ended| ended.code),
            signal: self.ended.and_then(|ended| ended.signal),
            class: self.class,
            last_words: self.last_words.clone(),
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
) -> End {
    let words = match streams {
        Some(streams) => streams.last_words().await,
        None => Vec::new(),
    };
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
        return End { ended, class: None, reason: how, last_words: None };
    }
    let mut reason = match class {
        CrashClass::Unknown => how,
        class => format!("{} ({how})", class.as_str()),
    };
    if let Some(words) = &last_words {
        reason = format!("{reason}: {}", words.escape_debug());
    }
    if let Some(hint) = hint(class) {
        reason = format!("{reason}; {hint}");
    }
    End { ended, class: Some(class), reason, last_words }
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
