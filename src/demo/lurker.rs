//! A grandchild that does not want to go: a session of its own, deaf to TERM, its parent gone.
use std::{
    io,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// It ends by itself at last, so that a test that fails leaves nothing for ever.
pub const LURKER_LIFETIME: Duration = Duration::from_secs(600);

/// Starts the first of the two processes and waits for it: it leaves the second behind and ends.
pub(super) fn leave(bare: bool) -> io::Result<()> {
    spawn("fork", bare)?.wait().map(drop)
}

/// What the two processes do: `fork` starts the second and ends, anything else stays.
pub async fn lurk(role: &str) -> io::Result<()> {
    // Fails when it leads its group already, which it then has to itself anyway.
    let _ = rustix::process::setsid();
    if role == "fork" {
        return spawn("stay", false).map(drop);
    }
    let _deaf = signal(SignalKind::terminate())?;
    let _deaf_too = signal(SignalKind::hangup())?;
    tokio::time::sleep(LURKER_LIFETIME).await;
    Ok(())
}

fn spawn(role: &str, bare: bool) -> io::Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo-agent", "lurk", role]).stdin(Stdio::null());
    if bare {
        command.env_clear();
    }
    command.spawn()
}
