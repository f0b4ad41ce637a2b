//! stop: ask, then wait for the process itself to be gone; a closed socket would prove nothing.
use super::serve::{ask, ask_to_stop};
use crate::cli::{CliError, Ctl, Exit};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::time::{Duration, Instant};

pub async fn run(ctl: &Ctl) -> Result<Exit, CliError> {
    let state = ask(&ctl.client).await?;
    // Held before it is asked, so that no other process can be taken for it.
    let process = Pid::from_raw(state.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let stopping = ask_to_stop(&ctl.client).await?;
    let limit = ctl.timeout.unwrap_or(Duration::from_secs_f64(stopping.within_s.clamp(1.0, 86400.0)));
    let deadline = Instant::now() + limit;
    let gone = match process {
        Some(process) => loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&wait)) {
                Ok(ready) => break ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(CliError::Protocol(format!("cannot watch pid {}: {error}", state.pid)));
                }
            }
        },
        // In another pid namespace: its socket is all there is to see.
        None => unreachable_by(ctl, deadline).await,
    };
    if gone {
        ctl.ui.note(&format!("agentd is gone (pid {})", state.pid));
        return Ok(Exit::Ok);
    }
    ctl.ui.note(&format!("agentd still stops (pid {}); `agentctl status` shows how far it is", state.pid));
    Ok(Exit::Pending)
}

async fn unreachable_by(ctl: &Ctl, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        if matches!(ask(&ctl.client).await, Err(CliError::Unreachable { .. })) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
