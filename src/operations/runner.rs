//! Runner: drives one operation forward, or unwinds it, one written entry at a time.
use super::{
    Interrupted, Site, Step,
    board::Board,
    engine::{Inner, ended},
    journal::Journal,
};
use crate::{
    domain::{
        Due, EventKind, Fault, FaultKind, FaultSeverity, Operation, OperationEvent, OperationState, Period,
        Principal, Reason, StepName, StepState,
    },
    errors::{Failure, expecting_panics},
};
use futures_util::FutureExt;
use serde_json::Value;
use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// For a step to say whether it may be repeated.
const JUDGING: Duration = Duration::from_secs(60);
/// Between attempts to write that an operation stopped because its journal could not be written.
const AGAIN: Duration = Duration::from_secs(5);

/// Somebody calls it off, and waits for that to be written.
pub struct Wish {
    pub by: Principal,
    pub told: oneshot::Sender<Result<(), Fault>>,
}

pub enum Start {
    New,
    /// It was open when agentd ended.
    Resumed,
    /// It was open, and must not be gone on with.
    Barred(Reason),
}

pub struct Runner {
    room: Arc<Inner>,
    journal: Journal,
    board: Board,
    wishes: mpsc::Receiver<Wish>,
    cancelled: CancellationToken,
}

/// The journal could not be written: nothing may follow.
struct Halt(Fault);

impl Runner {
    pub fn new(room: Arc<Inner>, journal: Journal, board: Board, wishes: mpsc::Receiver<Wish>) -> Self {
        Self { room, journal, board, wishes, cancelled: CancellationToken::new() }
    }

    /// To its end, to the end of the daemon, or until its journal cannot be written.
    pub async fn drive(mut self, start: Start) {
        if let Err(Halt(fault)) = self.advance(start).await {
            self.hold(&fault).await;
        }
    }

    async fn advance(&mut self, start: Start) -> Result<(), Halt> {
        match start {
            Start::New => {}
            Start::Barred(why) => return self.write(OperationEvent::Stopped { why }).await,
            Start::Resumed => {
                if let Some(why) = self.unclear().await {
                    return self.write(OperationEvent::Stopped { why }).await;
                }
            }
        }
        while !self.room.stopping.is_cancelled() {
            while let Ok(wish) = self.wishes.try_recv() {
                self.hear(wish).await;
            }
            match self.board.due() {
                Due::Nothing => return Ok(()),
                Due::Run(place) => self.run(place).await?,
                Due::Undo(place) => self.undo(place).await?,
                Due::GiveUp(place) => {
                    let cut_off = "cannot say how it ended: agentd was cut off, and it was called off";
                    let why = self.room.reason(&Fault::internal(cut_off));
                    self.write(OperationEvent::Failed { step: self.name(place), why }).await?;
                }
            }
        }
        Ok(())
    }

    async fn run(&mut self, place: usize) -> Result<(), Halt> {
        let name = self.name(place);
        let Some(step) = self.room.registry.get(&name) else { return self.unknown(&name).await };
        self.write(OperationEvent::Intended { step: name.clone() }).await?;
        let site = self.site(place, "", self.cancelled.clone());
        let outcome =
            self.listening(attempt("run", &*step, step.deadline(), async { step.run(&site).await }));
        let event = match outcome.await {
            Ok(left) if too_large(&left) => {
                let fault = Fault::internal(format!("cannot keep what `{name}` left: it is too large"));
                OperationEvent::Failed { step: name, why: self.room.reason(&fault) }
            }
            Ok(left) => OperationEvent::Done { step: name, left },
            Err(fault) => OperationEvent::Failed { step: name, why: self.room.reason(&fault) },
        };
        self.write(event).await
    }

    async fn undo(&mut self, place: usize) -> Result<(), Halt> {
        let name = self.name(place);
        let Some(step) = self.room.registry.get(&name) else { return self.unknown(&name).await };
        self.write(OperationEvent::UndoIntended { step: name.clone() }).await?;
        let left = self.board.look(|operation| operation.steps[place].left.clone());
        let site = self.site(place, "/undo", CancellationToken::new());
        let work = async { step.undo(&site, left.as_ref()).await };
        let outcome = self.listening(attempt("undo", &*step, step.deadline(), work));
        let event = match outcome.await {
            Ok(()) => OperationEvent::Undone { step: name },
            Err(fault) => {
                let mut why = self.room.reason(&fault);
                why.message = self.board.look(|operation| not_undone(operation, &name, &why.message));
                OperationEvent::UndoFailed { step: name, why }
            }
        };
        self.write(event).await
    }

    /// Work, and an ear for who calls it off meanwhile.
    async fn listening<T>(&mut self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut work = pin!(work);
        loop {
            let wish = tokio::select! {
                outcome = &mut work => return outcome,
                Some(wish) = self.wishes.recv() => wish,
            };
            self.hear(wish).await;
        }
    }

    async fn hear(&mut self, wish: Wish) {
        let Wish { by, told } = wish;
        let (id, state, asked) =
            self.board.look(|operation| (operation.id, operation.state, operation.cancel.is_some()));
        let answer = match state {
            // Once is enough.
            _ if asked => Ok(()),
            OperationState::Running => {
                let written = self.write(OperationEvent::CancelAsked { by }).await;
                // Where it cannot be written it has not been called off; the next entry will show what becomes of it.
                written.map(|()| self.cancelled.cancel()).map_err(|Halt(fault)| fault)
            }
            OperationState::Unwinding => {
                let why =
                    format!("cannot cancel {id}: a step failed, and what was done is being undone already");
                Err(Fault::new(FaultKind::Conflict, why)
                    .hint(format!("`agentctl operation show {id} --follow` waits for its end")))
            }
            _ => Err(ended(&self.board.operation())),
        };
        // That nobody waits for it any more changes nothing.
        let _ = told.send(answer);
    }

    /// Asked once, after a restart: may what was cut off be done again? Why not, if it may not.
    async fn unclear(&self) -> Option<Reason> {
        let cut_off = self.board.look(|operation| {
            let open = |state: StepState| matches!(state, StepState::Running | StepState::Undoing);
            let place = operation.steps.iter().position(|step| open(step.state))?;
            Some((place, operation.steps[place].state))
        });
        let (place, state) = cut_off?;
        let name = self.name(place);
        // A step that is not known any more stops it where it is due.
        let step = self.room.registry.get(&name)?;
        let suffix = if state == StepState::Undoing { "/undo" } else { "" };
        let site = self.site(place, suffix, CancellationToken::new());
        let judged = attempt("judge", &*step, JUDGING, async { step.interrupted(&site).await }).await;
        let why = match judged {
            Ok(Interrupted::Repeat) => return None,
            Ok(Interrupted::Unclear(why)) => why,
            Err(fault) => fault.message,
        };
        let fault =
            Fault::internal(format!("cannot tell whether `{name}` happened when agentd was cut off: {why}"))
                .hint("look at what it is about, and put it right by hand; nothing was repeated or undone");
        Some(self.room.reason(&fault))
    }

    async fn unknown(&mut self, name: &StepName) -> Result<(), Halt> {
        let fault = Fault::internal(format!("cannot go on: this agentd has no step called `{name}`"))
            .hint("the one that began it was another version: start that again, or put it right by hand");
        let why = self.room.reason(&fault);
        self.write(OperationEvent::Stopped { why }).await
    }

    /// On the disk, then told, then seen.
    async fn write(&mut self, event: OperationEvent) -> Result<(), Halt> {
        let (at, mut next) = (self.room.clock.now(), self.board.operation());
        let legal = next.apply(event.clone(), at);
        legal.map_err(|why| Halt(Fault::internal(format!("cannot go on with {}: {why}", next.id))))?;
        self.journal.append(&event, at).await.map_err(Halt)?;
        self.tell_if_ended(next).await;
        self.board.moved(event, at);
        Ok(())
    }

    /// Stopped, and seen so at once; written as soon as that is possible, so that the next start does not go on with it.
    async fn hold(&mut self, fault: &Fault) {
        // Who comes now is told how it stands.
        self.wishes.close();
        while self.wishes.try_recv().is_ok() {}
        let why = self.room.reason(fault);
        let (event, at, mut next) =
            (OperationEvent::Stopped { why }, self.room.clock.now(), self.board.operation());
        if next.apply(event.clone(), at).is_err() {
            return;
        }
        self.tell_if_ended(next).await;
        self.board.moved(event.clone(), at);
        while self.journal.append(&event, at).await.is_err() {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.room.stopping.cancelled() => return,
            }
        }
    }

    async fn tell_if_ended(&self, operation: Operation) {
        if !operation.state.is_terminal() {
            return;
        }
        let operation = operation.seen_at(self.room.clock.now());
        let took = Period::millis(operation.elapsed_ms);
        let why = operation.why.as_ref().map_or(String::new(), |why| format!(": {}", why.message));
        let (id, kind, state) = (operation.id, &operation.kind, operation.state.as_str());
        let said = format!("{id} {kind}: {state} after {took}{why}");
        let failed = matches!(operation.state, OperationState::Unwound | OperationState::Stopped);
        if let Some(why) = operation.why.as_ref().filter(|_| failed) {
            tracing::error!("{said}");
            let fault = match operation.state {
                OperationState::Stopped => why.fault().severity(FaultSeverity::Critical),
                _ => why.fault(),
            };
            let client = Some(operation.by.to_string());
            let failure = Failure { client, ..Failure::new(format!("operation/{kind}"), fault) };
            self.room.errors.record(failure.context(format!("{id}, {state}: {}", operation.title)));
        } else {
            tracing::info!("{said}");
        }
        self.room.tell(EventKind::OperationEnded, said).await;
    }

    fn site(&self, place: usize, suffix: &str, cancelled: CancellationToken) -> Site {
        self.board.look(|operation| {
            let left = |step: &crate::domain::OperationStep| Some((step.name.clone(), step.left.clone()?));
            Site {
                operation: operation.id,
                key: format!("{}/{}{suffix}", operation.id, operation.steps[place].name),
                arguments: operation.arguments.clone(),
                left: operation.steps.iter().filter_map(left).collect(),
                cancelled,
                place,
                board: self.board.clone(),
                redactor: self.room.errors.redactor().clone(),
            }
        })
    }

    fn name(&self, place: usize) -> StepName {
        self.board.look(|operation| operation.steps[place].name.clone())
    }
}

/// Within its deadline, and whatever it does: a panic is a failure like another.
async fn attempt<T>(
    what: &str,
    step: &dyn Step,
    deadline: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let name = step.name();
    let caught = AssertUnwindSafe(expecting_panics(work)).catch_unwind();
    match timeout(deadline, caught).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let why = said(&*panic);
            Err(Fault::internal(format!("cannot {what} `{name}`: it panicked: {why}")).hint(
                "a defect of agentd: please report it with the lines around it in `agentctl daemon logs`",
            ))
        }
        Err(_late) => {
            let deadline = Period::millis(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
            Err(Fault::new(FaultKind::Timeout, format!("cannot {what} `{name}` within {deadline}")))
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// What is left to the entry must leave room for the rest of it.
fn too_large(left: &Value) -> bool {
    const LARGEST: usize = 200 << 10;
    serde_json::to_string(left).map_or(true, |text| text.len() > LARGEST)
}

/// A person has to go on from here: what is there still, and what is not?
fn not_undone(operation: &Operation, failed: &StepName, why: &str) -> String {
    let names = |wanted: fn(StepState) -> bool| {
        let steps = operation.steps.iter().filter(|step| wanted(step.state));
        steps.map(|step| step.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let undone = match names(|state| state == StepState::Undone) {
        none if none.is_empty() => "nothing".to_owned(),
        undone => undone,
    };
    format!("cannot undo `{failed}`: {why}; undone: {undone}; not undone: {}", names(StepState::is_left))
}
