//! Programs that dump, restore and stand in for databases which agentd does not run: no shell, no secret among their
//! arguments, what they say is bounded, and their whole process group is gone when they are.
use crate::{
    config::redact,
    domain::{Period, one_line},
};
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use std::{env, fs::File, io, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

/// What a program is given of the daemon's own environment.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ"];
/// Of what it says on standard error, so much is kept.
const LONGEST: usize = 2_000;
/// How long a child of it that lives on may hold its standard error open.
const LINGER: Duration = Duration::from_millis(500);

pub struct Program<'a> {
    pub argv: Vec<String>,
    /// What it must know and nobody else may see.
    pub secrets: Vec<(&'a str, SecretString)>,
    /// What it must know and anybody may.
    pub told: Vec<(&'static str, String)>,
    pub input: Option<File>,
    pub output: Option<File>,
    pub deadline: Period,
    /// For sentences: `pg_dump of orders`.
    pub called: &'a str,
}

impl Program<'_> {
    /// Runs it to its end; why it did not do its work.
    pub async fn run(self) -> Result<(), String> {
        let Self { argv, secrets, told, input, output, deadline, called } = self;
        let (program, args) = argv.split_first().ok_or("no program is named")?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(told)
            .envs(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())))
            .current_dir("/")
            .process_group(0)
            .stdin(input.map_or_else(Stdio::null, Stdio::from))
            .stdout(output.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let spawned = command.spawn();
        drop(command);
        let mut child = spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("there is no program `{}`", one_line(program)),
            _ => format!("`{}` cannot be run: {error}", one_line(program)),
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).map(Group);
        let errors = child.stderr.take();
        let mut said = Vec::new();
        let ended = {
            let listen = async {
                match errors {
                    Some(errors) => listen(errors, &mut said).await,
                    None => Ok(()),
                }
            };
            let work = async {
                tokio::pin!(listen);
                let status = tokio::select! {
                    status = child.wait() => status,
                    _ = &mut listen => return child.wait().await,
                };
                let _ = timeout(LINGER, listen).await;
                status
            };
            timeout(deadline.0, work).await
        };
        drop(group);
        let complaint = complaint(&said, &secrets);
        match ended {
            Err(_) => Err(format!("{called} did not end within {deadline}{complaint}")),
            Ok(Err(error)) => Err(format!("{called} cannot be followed: {error}")),
            Ok(Ok(status)) if !status.success() => Err(format!("{called} ended with {status}{complaint}")),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// To its end, of which the beginning is kept.
async fn listen(mut from: impl AsyncRead + Unpin, said: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        let room = LONGEST.saturating_sub(said.len());
        said.extend_from_slice(&chunk[..count.min(room)]);
    }
}

/// One line, with none of the secrets in it.
fn complaint(said: &[u8], secrets: &[(&str, SecretString)]) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    for (_, secret) in secrets {
        if secret.expose_secret().len() > 3 {
            text = text.replace(secret.expose_secret(), "***");
        }
    }
    let text = one_line(&redact(&text));
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// All of it ends with this.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline: Period) -> Program<'static> {
        Program {
            argv: ["sh", "-c", script].map(str::to_owned).into(),
            secrets: vec![("DATABASE_URL", "postgres://a:hunter2-long@b/c".to_owned().into())],
            told: Vec::new(),
            input: None,
            output: None,
            deadline,
            called: "the dump of orders",
        }
    }

    #[tokio::test]
    async fn how_it_ends_decides_and_what_it_says_is_bounded_and_without_its_secret() {
        let minute = Period::secs(60);
        assert_eq!(sh("test -n \"$DATABASE_URL\" && test -z \"$CARGO\"", minute).run().await, Ok(()));
        let why =
            sh("echo no such table: $DATABASE_URL >&2; exit 3", minute).run().await.expect_err("it failed");
        assert!(why.contains("exit status: 3: no such table") && !why.contains("hunter2"), "{why}");
        let why =
            sh("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", minute).run().await.expect_err("failed");
        assert!(why.len() < LONGEST + 100, "{} bytes", why.len());
        let mut missing = sh("", minute);
        missing.argv = vec!["/no/such/program".into()];
        assert!(missing.run().await.expect_err("ran").contains("there is no program"));
    }

    #[tokio::test]
    async fn one_that_never_ends_is_killed_with_all_its_children() {
        let home = tempfile::tempdir().expect("a directory");
        let mark = home.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", mark.display());
        let why = sh(&script, Period::millis(700)).run().await.expect_err("it ended");
        assert!(why.contains("did not end within 700ms"), "{why}");
        let pid: i32 = std::fs::read_to_string(&mark).expect("a pid").trim().parse().expect("a number");
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        for _ in 0..200 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("its child {pid} lives on");
    }
}
