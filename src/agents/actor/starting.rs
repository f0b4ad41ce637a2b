//! From waiting to running: its turn, its preparation, its spawn, or its adoption; and what proves that it is ready.
use super::{Actor, FIRST_WORD, Input, SETTLE, stopping::nothing_ran};
use crate::{
    agents::{
        child::Child,
        failing::silent,
        restart::Outcome,
        runtime::{Channel, Work},
        separation,
        start::{self, Refusal},
        streams::Streams,
    },
    domain::{AgentState, CrashClass, EventKind, ExitReport, Fault, InstanceRecord, Observation},
};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

impl Actor {
    /// Waits for what it depends on and then for its turn to start.
    pub(super) async fn wait_turn(&mut self) -> Option<Input> {
        let needs = self.plan.settings.depends_on.clone();
        let missing = self.shared.board.needs.missing(&needs);
        let shared = self.shared.clone();
        if !missing.is_empty() {
            self.step(Input::WaitingFor(format!("waits for {}", missing.join(", "))));
            self.publish();
        }
        let turn = async {
            loop {
                shared.board.needs.wait(&needs).await;
                let permit = shared.start_permit().await;
                if shared.board.needs.missing(&needs).is_empty() {
                    return permit;
                }
            }
        };
        tokio::select! {
            biased;
            order = self.orders.recv() => self.take_or_end(order),
            permit = turn => {
                self.permit = permit;
                Some(Input::Unblocked)
            }
        }
    }

    /// Prepares and spawns; an order that arrives meanwhile ends the preparation.
    pub(super) async fn start(&mut self) -> Option<Input> {
        self.status.generation += 1;
        self.status.started_at = None;
        self.status.ready_at = None;
        self.status.adopted = false;
        self.desk.open(self.status.generation);
        let Work::Spawn(launch) = self.plan.work.clone() else {
            self.begin(None);
            return None;
        };
        if let Err(fault) = self.open_streams(launch.channel) {
            return Some(self.refused(Refusal::Failed(CrashClass::Unknown, fault)));
        }
        let (shared, id, plan) = (self.shared.clone(), self.id.clone(), self.plan.clone());
        let prepared = tokio::select! {
            biased;
            order = self.orders.recv() => {
                let input = self.take_or_end(order);
                // Halted before anything was spawned: there is nothing to stop.
                if self.machine.state() == AgentState::Stopping {
                    return Some(nothing_ran());
                }
                return input;
            }
            prepared = start::prepare(&shared, &id, &plan, &launch) => prepared,
        };
        let started = prepared.and_then(|spec| {
            let child = Child::spawn(&spec.spawn).map_err(start::spawn_refusal)?;
            Ok((spec.port, spec.release, child))
        });
        match started {
            Ok((port, release, child)) => {
                self.status.port = port;
                self.status.release = release;
                self.status.separation = separation::of(child.pid);
                self.save(&child, false).await;
                self.tell(EventKind::AgentStarted, format!("started as pid {}", child.pid));
                self.begin(Some(child));
                self.prove_ready(launch.channel);
                None
            }
            Err(refusal) => Some(self.refused(refusal)),
        }
    }

    /// From here on it counts as running.
    pub(super) fn begin(&mut self, child: Option<Child>) {
        let now = Instant::now();
        self.status.pid = child.as_ref().map(|child| child.pid);
        self.status.started_at = Some(self.shared.clock.now());
        self.up_since = Some(now);
        self.held_by = None;
        self.overdue_at = Some(now + self.plan.settings.start_timeout.0);
        self.child = child;
    }

    pub(super) fn refused(&mut self, refusal: Refusal) -> Input {
        match refusal {
            Refusal::PortHeld(holder) => {
                if self.held_by.as_ref() != Some(&holder) {
                    self.port_is_held(&holder);
                    self.held_by = Some(holder.clone());
                }
                Input::PortHeld(holder)
            }
            Refusal::Failed(class, fault) => {
                self.did_not_start(class, &fault);
                let reason = fault.message;
                self.status.last_exit = Some(ExitReport {
                    at: self.shared.clock.now(),
                    code: None,
                    signal: None,
                    class: Some(class),
                    last_words: None,
                    hint: fault.hint,
                });
                self.tell(EventKind::AgentExited, format!("not started: {reason}"));
                Input::Ended { outcome: Outcome::Failed(class), ran: Duration::ZERO, reason: Some(reason) }
            }
        }
    }

    /// Takes over a child of an earlier daemon.
    pub(super) fn take_over(&mut self, child: Child, record: InstanceRecord) {
        self.step(Input::Unblocked);
        if self.machine.state() != AgentState::Starting {
            return;
        }
        self.status.generation += 1;
        self.desk.open(self.status.generation);
        let Work::Spawn(launch) = self.plan.work.clone() else { return };
        if let Err(error) = self.open_streams(launch.channel) {
            tracing::warn!(instance = %self.id, %error, "its output cannot be read");
        }
        self.tell(EventKind::AgentAdopted, format!("adopted pid {}", child.pid));
        self.begin(Some(child));
        self.status.adopted = true;
        self.status.separation = separation::of(record.pid);
        self.status.started_at = Some(record.started_at);
        self.status.port = record.port;
        self.status.release = record.release;
        let was_ready = record.was_ready;
        self.record = Some(record);
        if was_ready {
            self.step(Input::Up);
        }
        self.prove_ready(launch.channel);
    }

    /// Opened once, and again only if the kind of agent has changed.
    pub(super) fn open_streams(&mut self, channel: Channel) -> Result<(), Fault> {
        let speaks = channel != Channel::None;
        if self.streams.as_ref().is_none_or(|streams| streams.speaks() != speaks) {
            self.streams = None; // the old reader first: two would share what is printed
            self.streams = Some(Streams::open(&self.shared, &self.id, speaks)?);
        }
        Ok(())
    }

    /// Opens the request channel, and leaves word at the desk when it, or mere survival, proves readiness.
    pub(super) fn prove_ready(&mut self, channel: Channel) {
        let Channel::JsonRpc { ping } = channel else { return };
        let Some(streams) = &self.streams else { return };
        let (desk, generation) = (self.desk.clone(), self.status.generation);
        let probed = self.plan.probed;
        match streams.connect() {
            Ok(rpc) => {
                *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(rpc.clone());
                let (id, errors) = (self.id.clone(), self.shared.errors.clone());
                let (adopted, limit) = (self.status.adopted, self.plan.settings.start_timeout.0);
                if ping && (adopted || !probed) {
                    tokio::spawn(async move {
                        let limit = if adopted { FIRST_WORD } else { limit };
                        match rpc.ping(limit).await {
                            Ok(()) if !probed => desk.tell(generation, Observation::Ready),
                            Err(fault) if adopted => {
                                let reason = format!("does not answer after its adoption: {fault}");
                                errors.record(silent(&id, &reason));
                                desk.tell(generation, Observation::Unhealthy { reason });
                            }
                            Ok(()) | Err(_) => {} // its start timeout judges it
                        }
                    });
                    return;
                }
            }
            Err(fault) => tracing::warn!(instance = %self.id, error = %fault, "it cannot be asked anything"),
        }
        if !probed && !ping {
            tokio::spawn(async move {
                tokio::time::sleep(SETTLE).await;
                desk.tell(generation, Observation::Ready);
            });
        }
    }
}
