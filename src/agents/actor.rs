//! One task per instance. It owns the instance's state, its child and its channel; others send orders, leave word at
//! its desk and read the board. It sleeps until something happens: no timer runs while an instance is well.
mod starting;
mod stopping;
mod telling;

use super::{
    adopt::Inheritance,
    child::{Child, Group, sweep},
    desk::Desk,
    machine::{Action, Input, Machine},
    plan::Plan,
    rpc,
    runtime::Work,
    shared::Shared,
    streams::Streams,
};
use crate::{
    domain::{AgentState, EventKind, InstanceId, InstanceRecord, InstanceStatus},
    errors::Errors,
};
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

/// How long what a dead main process leaves behind may take over its own end.
const SWEEP: Duration = Duration::from_secs(2);
/// How long the store may take over a record before the instance goes on without.
const RECORD: Duration = Duration::from_secs(5);
/// How long a child without probe or ping must live to count as ready.
const SETTLE: Duration = Duration::from_secs(1);
/// How long an adopted agent may take to answer its first ping.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What others ask of an instance.
pub enum Order {
    Wake,
    Restart,
    /// Answered when nothing of it is alive. `by` cuts its stop short.
    Halt {
        by: Option<Instant>,
        done: oneshot::Sender<()>,
    },
    /// New settings, and what they ask for.
    Plan(Arc<Plan>, Then),
    /// Halt, be forgotten, end the task.
    Retire(oneshot::Sender<()>),
}

/// What new settings ask of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// They are taken over as it runs.
    Nothing,
    Restart,
    /// Switched on, or off.
    Wake,
    Disable,
}

/// The others' end of an actor.
#[derive(Clone)]
pub struct Handle {
    pub orders: mpsc::Sender<Order>,
    pub desk: Arc<Desk>,
    /// Present while a `process` agent is up.
    pub channel: Arc<Mutex<Option<rpc::Channel>>>,
}

pub struct Actor {
    id: InstanceId,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    desk: Arc<Desk>,
    channel: Arc<Mutex<Option<rpc::Channel>>>,
    machine: Machine,
    streams: Option<Streams>,
    child: Option<Child>,
    /// What may be left of a run whose main process has ended.
    debris: Option<Group>,
    permit: Option<OwnedSemaphorePermit>,
    /// Halts that wait for the end.
    halts: Vec<oneshot::Sender<()>>,
    retired: Option<oneshot::Sender<()>>,
    hurry: Option<Instant>,
    ended_at: Option<Instant>,
    wake_at: Option<Instant>,
    overdue_at: Option<Instant>,
    up_since: Option<Instant>,
    recorded: bool,
    record: Option<InstanceRecord>,
    /// Who had its port at the last attempt.
    held_by: Option<String>,
    /// The supervisor was dropped without a shutdown: what lives is left for the next daemon to adopt.
    abandoned: bool,
    status: InstanceStatus,
}

/// Starts the task. It wakes by itself if `wake`; what an earlier daemon left is taken over or ended first.
pub fn launch(
    id: InstanceId,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    inheritance: Inheritance,
    wake: bool,
) -> Handle {
    let (sender, orders) = mpsc::channel(32);
    let desk = Arc::new(Desk::default());
    let channel = Arc::new(Mutex::new(None));
    let handle = Handle { orders: sender, desk: desk.clone(), channel: channel.clone() };
    let status = InstanceStatus {
        id: id.clone(),
        state: AgentState::Stopped,
        reason: None,
        pid: None,
        generation: 0,
        port: None,
        adopted: false,
        since: Some(shared.clock.now()),
        started_at: None,
        ready_at: None,
        restarts: 0,
        last_exit: None,
        separation: plan.separation(),
        release: None,
    };
    let mut actor = Actor {
        machine: Machine::new(plan.work == Work::External),
        id,
        plan,
        shared,
        orders,
        desk,
        channel,
        streams: None,
        child: None,
        debris: None,
        permit: None,
        halts: Vec::new(),
        retired: None,
        hurry: None,
        ended_at: None,
        wake_at: None,
        overdue_at: None,
        up_since: None,
        recorded: inheritance.recorded,
        record: None,
        held_by: None,
        abandoned: false,
        status,
    };
    if !actor.plan.enabled {
        actor.step(Input::Disable);
    } else if wake {
        actor.step(Input::Wake);
    }
    actor.publish();
    tokio::spawn(actor.run(inheritance));
    handle
}

impl Actor {
    pub(super) fn id(&self) -> &InstanceId {
        &self.id
    }

    pub(super) fn errors(&self) -> &Errors {
        &self.shared.errors
    }

    async fn run(mut self, inheritance: Inheritance) {
        for group in &inheritance.leftovers {
            let report = sweep(group, SWEEP).await;
            self.tell(
                EventKind::OrphanReaped,
                format!("stopped what an earlier daemon left ({} killed)", report.killed),
            );
        }
        if let Some((child, record)) = inheritance.adopted {
            self.take_over(child, record);
        }
        while !self.abandoned {
            self.publish();
            if let Some(group) = self.debris.take() {
                sweep(&group, SWEEP).await;
            }
            self.answer_halts();
            let input = match self.machine.state() {
                AgentState::Waiting => self.wait_turn().await,
                AgentState::Starting if self.up_since.is_none() => self.start().await,
                AgentState::Starting | AgentState::Ready | AgentState::Degraded => self.attend().await,
                AgentState::Unhealthy if self.plan.work == Work::External => self.attend().await,
                AgentState::Unhealthy | AgentState::Stopping => self.take_down().await,
                AgentState::BackingOff => self.back_off().await,
                AgentState::CrashLooping
                | AgentState::Stopped
                | AgentState::Failed
                | AgentState::Disabled => {
                    if self.rest().await {
                        return;
                    }
                    None
                }
            };
            if let Some(input) = input {
                self.step(input);
            }
        }
    }

    /// Feeds the machine and sees to what does not wait.
    fn step(&mut self, input: Input) {
        let (before, now) = (self.machine.state(), Instant::now());
        let action = self.machine.step(input, &self.plan.settings.restart, now, fastrand::f64());
        if let Action::Sleep(delay) = action {
            // From the end itself: reading its last words is not added to the delay.
            self.wake_at = Some(self.ended_at.take().unwrap_or(now) + delay);
        }
        let state = self.machine.state();
        if state == before {
            return;
        }
        if state != AgentState::Starting {
            self.permit = None;
            self.overdue_at = None;
        }
        self.status.since = Some(self.shared.clock.now());
        if state == AgentState::Ready && self.status.ready_at.is_none() {
            self.status.ready_at = self.status.since;
            self.tell(EventKind::AgentReady, "ready");
        }
        match state {
            AgentState::CrashLooping => {
                self.tell_reason(EventKind::AgentCrashLooping);
                self.latched(self.machine.reason().unwrap_or_default());
            }
            AgentState::Stopped if before.is_up() => self.tell(EventKind::AgentStopped, "stopped"),
            _ => {}
        }
    }

    /// Carries out an order; true if a stop under way must be cut shorter.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Wake => self.step(Input::Wake),
            Order::Restart => self.step(Input::Restart),
            Order::Halt { by, done } => {
                self.halts.push(done);
                let sooner = by.is_some() && self.hurry.is_none_or(|hurry| by < Some(hurry));
                if sooner {
                    self.hurry = by;
                }
                self.step(Input::Halt);
                return sooner;
            }
            Order::Plan(plan, then) => {
                if self.child.is_none() {
                    self.status.separation = plan.separation(); // of what runs the kernel has told
                }
                self.plan = plan;
                match then {
                    Then::Disable => self.step(Input::Disable),
                    Then::Wake => self.step(Input::Wake),
                    Then::Restart
                        if !matches!(self.machine.state(), AgentState::Stopped | AgentState::Disabled) =>
                    {
                        self.step(Input::Restart);
                    }
                    Then::Restart | Then::Nothing => {}
                }
            }
            Order::Retire(done) => {
                self.retired = Some(done);
                self.step(Input::Halt);
            }
        }
        false
    }

    /// It runs: whatever happens first.
    async fn attend(&mut self) -> Option<Input> {
        if self.machine.state() == AgentState::Ready
            && let Some(record) = self.record.as_mut().filter(|record| !record.was_ready)
        {
            record.was_ready = true;
            let record = record.clone();
            self.keep(record).await;
        }
        let ended = async {
            match &mut self.child {
                Some(child) => child.wait().await,
                None => pending().await,
            }
        };
        let overdue = async {
            match self.overdue_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ended => {
                self.ended_at = Some(Instant::now());
                let child = self.child.take()?;
                Some(self.ended(child).await)
            }
            order = self.orders.recv() => self.take_or_end(order),
            input = self.desk.next() => Some(input),
            () = overdue => {
                self.overdue_at = None;
                Some(Input::Overdue(self.plan.settings.start_timeout.0))
            }
        }
    }

    async fn back_off(&mut self) -> Option<Input> {
        let at = self.wake_at.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            order = self.orders.recv() => self.take_or_end(order),
            () = sleep_until(at) => Some(Input::DelayOver),
        }
    }

    /// Nothing runs and nothing is due. True when the task is to end.
    async fn rest(&mut self) -> bool {
        if std::mem::take(&mut self.recorded) {
            self.record = None;
            let forgotten = timeout(RECORD, self.shared.store.forget_instance(self.id.clone())).await;
            if !matches!(forgotten, Ok(Ok(()))) {
                tracing::warn!(instance = %self.id, "the record of an ended instance could not be removed");
                self.not_kept(forgotten.ok().and_then(Result::err));
            }
        }
        if let Some(done) = self.retired.take() {
            if let Some(streams) = self.streams.take() {
                streams.discard();
            }
            self.shared.board.remove(&self.id);
            let _ = done.send(());
            return true;
        }
        let Some(order) = self.orders.recv().await else { return true };
        self.take(order);
        false
    }

    /// An order, or the end of everybody who could give one.
    fn take_or_end(&mut self, order: Option<Order>) -> Option<Input> {
        if let Some(order) = order {
            self.take(order);
            None
        } else {
            self.abandoned = true;
            None
        }
    }
}
