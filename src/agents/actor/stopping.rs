//! From running to gone: its stop, what its end was, and who waits for it.
use super::{Actor, Input};
use crate::{
    agents::{child::Child, restart::Outcome, start},
    domain::{AgentState, EventKind},
};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

impl Actor {
    /// Stops what is alive, and goes on taking orders: one of them may be in a hurry.
    pub(super) async fn take_down(&mut self) -> Option<Input> {
        self.hang_up();
        let Some(mut child) = self.child.take() else {
            self.up_since = None;
            return Some(nothing_ran());
        };
        let by = Instant::now() + self.plan.settings.stop_timeout.0;
        loop {
            let limit =
                self.hurry.map_or(by, |hurry| hurry.min(by)).saturating_duration_since(Instant::now());
            let mut stop = std::pin::pin!(child.stop(limit));
            let report = loop {
                tokio::select! {
                    report = &mut stop => break Some(report),
                    order = self.orders.recv(), if !self.abandoned => match order {
                        Some(order) => if self.take(order) { break None },
                        None => self.abandoned = true,
                    }
                }
            };
            if let Some(report) = report {
                if report.survivors > 0 {
                    tracing::error!(instance = %self.id, survivors = report.survivors, "processes survived its stop");
                    self.survived(report.survivors);
                }
                break;
            }
        }
        let input = self.ended(child).await;
        self.debris = None; // `stop` has seen to all of it
        Some(input)
    }

    /// The main process is gone: what was it?
    pub(super) async fn ended(&mut self, child: Child) -> Input {
        self.hang_up();
        let ran = self.up_since.take().map(|since| since.elapsed()).unwrap_or_default();
        let asked = matches!(self.machine.state(), AgentState::Stopping | AgentState::Unhealthy);
        let mut end = start::examine(
            child.ended(),
            child.adopted,
            asked,
            self.streams.as_ref(),
            child.group(),
            self.shared.errors.redactor(),
        )
        .await;
        end.class = self.machine.condemned().or(end.class);
        self.status.pid = None;
        let at = self.shared.clock.now();
        self.tell(EventKind::AgentExited, end.reason.clone());
        if let Some(class) = end.class {
            self.crashed(class, &end.reason);
        }
        self.status.last_exit = Some(end.report(at));
        self.debris = Some(child.group().clone());
        let outcome = end.class.map_or(Outcome::Clean, Outcome::Failed);
        Input::Ended { outcome, ran, reason: Some(end.reason) }
    }

    fn hang_up(&mut self) {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(channel) = channel {
            channel.close();
        }
        if let Some(streams) = &self.streams {
            streams.disconnect();
        }
    }

    pub(super) fn answer_halts(&mut self) {
        if self.child.is_none() && self.up_since.is_none() {
            self.hurry = None;
            for done in self.halts.drain(..) {
                let _ = done.send(());
            }
        }
    }
}

/// The end of a start that never got as far as a process.
pub(super) fn nothing_ran() -> Input {
    Input::Ended { outcome: Outcome::Clean, ran: Duration::ZERO, reason: None }
}
