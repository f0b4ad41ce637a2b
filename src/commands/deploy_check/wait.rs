//! Until a soak can be judged: asks now and then how far its window is, goes on while agentd restarts, and judges it then.
use super::serve::{Run, Window, WindowRequest};
use crate::{
    cli::{CliError, Ctl, Exit, Stops},
    commands::validate::{Files, follow_run},
    deploy::checklist::{CheckRequest, WindowInfo},
    domain::{Fault, FaultKind, Soak},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Without --timeout: longer than any window is by default.
const LONGEST: Duration = Duration::from_secs(49 * 3600);
/// How often it is looked how far it is; and while agentd does not answer.
const LOOK: Duration = Duration::from_secs(30);
const AWAY: Duration = Duration::from_secs(2);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How often it is told, to a terminal and to a log.
const TOLD: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

pub async fn judge_when_full(mut request: CheckRequest, files: &Files, ctl: &Ctl) -> Result<Exit, CliError> {
    if !request.phase.is_soak() {
        let message = format!("cannot wait for phase {}: it looks at what is now", request.phase);
        return Err(Fault::usage(message).hint("--wait is for the phases short and extended").into());
    }
    let end = Instant::now() + ctl.timeout.unwrap_or(LONGEST);
    let mut stops = Stops::listen()?;
    let mut teller = Teller::default();
    loop {
        let pause = match look(&request, ctl).await {
            Ok(WindowInfo { soak: Some(soak), release, .. }) => {
                // Should another go on trial meanwhile, it is none of what is waited for.
                request.release = release;
                teller.tell(ctl, &format!("{}: {}", request.phase, soak.progress()));
                match until(&soak) {
                    Some(pause) => pause,
                    None => match follow_run::<Run>(&request, files, ctl).await {
                        Err(CliError::Unreachable { .. }) => AWAY,
                        other => return other,
                    },
                }
            }
            Ok(_) => return Err(CliError::Protocol("a soak without a window".into())),
            Err(CliError::Unreachable { .. }) => {
                teller.away(ctl);
                AWAY
            }
            Err(error) => return Err(error),
        };
        if Instant::now() + pause > end {
            let message = format!("cannot wait any longer for phase {}: {}", request.phase, teller.last);
            let fault = Fault::new(FaultKind::Timeout, message);
            return Err(fault
                .hint("what is recorded stays: ask again later, or wait longer with --timeout")
                .into());
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stops.asked() => return Err(CliError::Interrupted),
        }
    }
}

async fn look(request: &CheckRequest, ctl: &Ctl) -> Result<WindowInfo, CliError> {
    let asked =
        WindowRequest { phase: request.phase, release: request.release.clone(), since: request.since };
    let answer = timeout(ANSWER, ctl.client.call::<Window>(&asked)).await;
    let away = || {
        let path = ctl.client.socket().to_owned();
        Err(CliError::Unreachable { path, why: format!("no answer within {}s", ANSWER.as_secs()) })
    };
    answer.unwrap_or_else(|_| away()).map(|progressed| progressed.window)
}

/// None if it can be judged now, or never better than now.
fn until(soak: &Soak) -> Option<Duration> {
    let left = Duration::try_from(soak.again_at?.duration_since(Timestamp::now())).unwrap_or_default();
    Some(left.clamp(Duration::from_secs(1), LOOK))
}

#[derive(Default)]
struct Teller {
    last: String,
    told: Option<Instant>,
    away: bool,
}

impl Teller {
    fn tell(&mut self, ctl: &Ctl, text: &str) {
        text.clone_into(&mut self.last);
        let pause = TOLD[usize::from(!ctl.ui.terminal)];
        let due = self.told.is_none_or(|told| told.elapsed() >= pause);
        if std::mem::take(&mut self.away) || due {
            ctl.ui.note(text);
            self.told = Some(Instant::now());
        }
    }

    fn away(&mut self, ctl: &Ctl) {
        if !std::mem::replace(&mut self.away, true) {
            ctl.ui.note("agentd does not answer; what it recorded counts once it does");
        }
        if self.last.is_empty() {
            "agentd does not answer".clone_into(&mut self.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Period;
    use jiff::SignedDuration;

    #[test]
    fn it_looks_again_soon_and_judges_what_will_not_be_more() {
        let soak = |again: Option<i64>| Soak {
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            least: Period::secs(3600),
            observed: 0.5,
            min_observed: 0.95,
            again_at: again.map(|seconds| Timestamp::now() + SignedDuration::from_secs(seconds)),
        };
        assert_eq!(until(&soak(None)), None);
        assert_eq!(until(&soak(Some(86_400))), Some(LOOK));
        assert_eq!(until(&soak(Some(-5))), Some(Duration::from_secs(1)));
        assert!(until(&soak(Some(10))).is_some_and(|pause| pause <= Duration::from_secs(10)));
    }
}
