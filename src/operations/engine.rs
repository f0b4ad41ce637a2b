//! `Operations`, the handle others hold: begins, cancels, shows and ends. One operation at a time for each resource.
use super::{
    Blueprint, Registry,
    board::Board,
    journal::{self, Journal},
    runner::{Runner, Start, Wish},
    seam::Seam,
};
use crate::{
    domain::{
        Event, EventKind, Fault, FaultKind, Operation, OperationId, OperationSummary, Principal, Reason,
    },
    errors::Errors,
    resilience::Clock,
    store::Store,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a follower's question is held when there is nothing new.
const LONG_POLL: Duration = Duration::from_secs(25);
/// For a wish to be in the journal.
const HEARD: Duration = Duration::from_secs(20);
/// What a step under way may take at the end of the daemon, before it is left for the next start.
const LAST_STEP: Duration = Duration::from_secs(2);
/// The store must not hold up work that does not need it.
const TELLING: Duration = Duration::from_secs(5);
/// Characters of a reason.
const SENTENCE: usize = 500;

#[derive(Clone)]
pub struct Operations(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub dir: PathBuf,
    pub registry: Registry,
    pub clock: Clock,
    pub errors: Errors,
    pub seam: Seam,
    /// Nothing new is begun, no step and no operation.
    pub stopping: CancellationToken,
    /// What is under way is dropped where it awaits.
    cut: CancellationToken,
    runners: TaskTracker,
    events: OnceLock<Store>,
    /// Held for a moment at a time, never across an await.
    desk: Mutex<Desk>,
}

#[derive(Default)]
pub(super) struct Desk {
    /// The highest number ever seen; none before the journals were read.
    pub last: Option<u64>,
    /// Resources for which an operation is just being begun.
    taken: BTreeSet<String>,
    pub known: BTreeMap<OperationId, Known>,
}

pub(super) struct Known {
    pub board: Board,
    /// Closed once nobody drives it.
    pub wishes: mpsc::Sender<Wish>,
}

impl Operations {
    /// Nothing is begun before `recover`.
    pub fn new(dir: PathBuf, registry: Registry, clock: Clock, errors: Errors) -> Self {
        Self::with_seam(dir, registry, clock, errors, Seam::default())
    }

    pub(super) fn with_seam(
        dir: PathBuf,
        registry: Registry,
        clock: Clock,
        errors: Errors,
        seam: Seam,
    ) -> Self {
        Self(Arc::new(Inner {
            dir,
            registry,
            clock,
            errors,
            seam,
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            runners: TaskTracker::new(),
            events: OnceLock::new(),
            desk: Mutex::default(),
        }))
    }

    /// Its beginnings and ends are events there, too.
    #[must_use]
    pub fn telling(self, store: Store) -> Self {
        // Nobody else sets it.
        let _ = self.0.events.set(store);
        self
    }

    /// On the disk before this returns. Refused with the one that holds the resource.
    pub async fn begin(&self, blueprint: Blueprint, by: Principal) -> Result<OperationId, Fault> {
        let room = self.0.clone();
        // Whoever asks may hang up: what has a journal must have a runner.
        let begun = tokio::spawn(async move { room.begin(blueprint, by).await });
        begun.await.map_err(|panic| Fault::internal(format!("cannot begin an operation: {panic}")))?
    }

    /// In the journal before this returns. The step under way may end; then what was done is undone.
    pub async fn cancel(&self, id: OperationId, by: Principal) -> Result<Operation, Fault> {
        let (board, wishes) = self.0.known(id)?;
        if board.look(|operation| operation.state.is_terminal()) {
            return Err(ended(&board.operation()));
        }
        let (told, answer) = oneshot::channel();
        let asked = async {
            // Where nobody drives it any more, how it stands is the answer.
            let _ = wishes.send(Wish { by, told }).await;
            answer.await
        };
        match timeout(HEARD, asked).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) if self.0.stopping.is_cancelled() => return Err(is_stopping("cancel it")),
            Ok(Err(_)) => return Err(ended(&board.operation())),
            Err(_late) => {
                let late = format!("cannot cancel {id}: its journal does not take it in time");
                return Err(Fault::new(FaultKind::Timeout, late)
                    .hint(format!("`agentctl operation show {id}` shows whether it did")));
            }
        }
        Ok(self.0.seen(&board))
    }

    /// The newest so many, the newest first.
    pub fn list(&self, limit: u32) -> Vec<OperationSummary> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let boards: Vec<_> =
            self.0.desk().known.values().rev().take(limit).map(|it| it.board.clone()).collect();
        boards.iter().map(|board| self.0.seen(board).summary()).collect()
    }

    /// Waits up to 25 s for something else than what has this cursor; 0 waits for nothing.
    pub async fn show(&self, id: OperationId, after: u64) -> Result<Operation, Fault> {
        let (board, _) = self.0.known(id)?;
        let mut seen = board.subscribe();
        // Not "greater": after a restart of agentd it counts anew. Late is an answer too: nothing new yet.
        let news = seen.wait_for(|operation| operation.cursor != after || operation.state.is_terminal());
        tokio::select! {
            _ = timeout(LONG_POLL, news) => {}
            () = self.0.stopping.cancelled() => {}
        }
        Ok(self.0.seen(&board))
    }

    /// Until nothing more happens to it by itself; refused where agentd ends before.
    pub async fn settled(&self, id: OperationId) -> Result<Operation, Fault> {
        let (board, _) = self.0.known(id)?;
        let mut seen = board.subscribe();
        let settled = tokio::select! {
            biased;
            settled = seen.wait_for(|operation| operation.state.is_terminal()) => settled.is_ok(),
            () = self.0.cut.cancelled() => false,
        };
        if settled { Ok(self.0.seen(&board)) } else { Err(is_stopping("wait for its end")) }
    }

    /// Those that ended, beyond the newest so many, go. One that is open, or stopped for somebody to look, stays.
    pub async fn prune(&self, keep: u32) -> Result<u64, Fault> {
        let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
        let over: Vec<OperationId> = {
            let desk = self.0.desk();
            let newest = desk.known.iter().rev();
            newest.filter(|(_, known)| known.board.look(is_over)).skip(keep).map(|(id, _)| *id).collect()
        };
        if over.is_empty() {
            return Ok(0);
        }
        let (dir, ids) = (self.0.dir.clone(), over.clone());
        let gone = spawn_blocking(move || journal::remove(&dir, &ids)).await;
        let gone = gone.map_err(std::io::Error::other).flatten();
        let gone = gone.map_err(|error| {
            let dir = self.0.dir.display();
            Fault::internal(format!("cannot remove journals of operations from {dir}: {error}"))
        })?;
        let mut desk = self.0.desk();
        desk.known.retain(|id, _| !over.contains(id));
        Ok(gone)
    }

    /// No further step. The one under way has a moment to end; what is left goes on at the next start.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.0.runners.close();
        let _ = timeout(LAST_STEP, self.0.runners.wait()).await;
        self.0.cut.cancel();
        self.0.runners.wait().await;
    }
}

impl Inner {
    async fn begin(self: Arc<Self>, blueprint: Blueprint, by: Principal) -> Result<OperationId, Fault> {
        let place = Place::take(&self, &blueprint)?;
        let (id, at) = (place.id, self.clock.now());
        let plan = blueprint.plan(&self.registry, id, by)?;
        let board = Board::new(Operation::begun(plan.clone(), at));
        let journal = Journal::create(&self.dir, plan, at, self.seam.clone()).await?;
        let said = board
            .look(|operation| format!("{id} {}: {}, by {}", operation.kind, operation.title, operation.by));
        tracing::info!("begun: {said}");
        self.drive(id, board, journal, Start::New);
        drop(place);
        self.tell(EventKind::OperationBegun, said).await;
        Ok(id)
    }

    /// From now on it is known, and somebody drives it.
    pub fn drive(self: &Arc<Self>, id: OperationId, board: Board, journal: Journal, start: Start) {
        let (wishes, heard) = mpsc::channel(4);
        self.desk().known.insert(id, Known { board: board.clone(), wishes });
        let runner = Runner::new(self.clone(), journal, board, heard);
        let cut = self.cut.clone();
        self.runners.spawn(async move {
            tokio::select! {
                () = runner.drive(start) => {}
                () = cut.cancelled() => {}
            }
        });
    }

    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        // What it guards is whole at every moment, so a panic elsewhere does not spoil it.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As an event, where there is a store for it.
    pub async fn tell(&self, kind: EventKind, text: String) {
        let Some(store) = self.events.get() else { return };
        let text = self.errors.redactor().clean(&text, SENTENCE);
        let event = Event { seq: 0, at: self.clock.now(), kind, instance: None, text };
        match timeout(TELLING, store.record_event(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "an event was not recorded"),
            Err(_late) => tracing::warn!("an event was not recorded in time"),
        }
    }

    /// What a failure is kept as.
    pub fn reason(&self, fault: &Fault) -> Reason {
        let clean = |text: &str| self.errors.redactor().clean(text, SENTENCE);
        let message = match fault.causes.first() {
            Some(cause) if !fault.message.contains(cause) => clean(&format!("{}: {cause}", fault.message)),
            _ => clean(&fault.message),
        };
        Reason { kind: fault.kind, message, hint: fault.hint.as_deref().map(clean) }
    }

    fn seen(&self, board: &Board) -> Operation {
        board.operation().seen_at(self.clock.now())
    }

    fn known(&self, id: OperationId) -> Result<(Board, mpsc::Sender<Wish>), Fault> {
        let desk = self.desk();
        let known = desk.known.get(&id).map(|known| (known.board.clone(), known.wishes.clone()));
        known.ok_or_else(|| {
            Fault::not_found(format!("cannot find {id}"))
                .hint("`agentctl operation list` shows those that are kept")
        })
    }
}

/// A number, and the resource kept for it until it is known.
struct Place<'a> {
    room: &'a Inner,
    resource: String,
    id: OperationId,
}

impl<'a> Place<'a> {
    fn take(room: &'a Inner, blueprint: &Blueprint) -> Result<Self, Fault> {
        let (kind, resource) = (blueprint.kind, &blueprint.resource);
        let cannot = |why: String| Fault::new(FaultKind::Conflict, format!("cannot begin a {kind}: {why}"));
        if room.stopping.is_cancelled() {
            return Err(is_stopping(&format!("begin a {kind}")));
        }
        let mut desk = room.desk();
        let holds = |operation: &Operation| {
            (!operation.state.is_terminal() && operation.resource == *resource)
                .then(|| (operation.id, operation.kind.clone()))
        };
        if let Some((id, held)) = desk.known.values().rev().find_map(|known| known.board.look(holds)) {
            return Err(cannot(format!("{id}, a {held}, holds the {resource}")).hint(format!(
                "`agentctl operation show {id} --follow` waits for it, `agentctl operation cancel {id}` calls it off"
            )));
        }
        if desk.taken.contains(resource) {
            return Err(cannot(format!("another operation on the {resource} is just being begun"))
                .hint("`agentctl operation list` shows it"));
        }
        let Some(last) = &mut desk.last else {
            return Err(Fault::new(
                FaultKind::Unavailable,
                format!("cannot begin a {kind}: the journals were not read yet"),
            ));
        };
        *last += 1;
        let id = OperationId(*last);
        desk.taken.insert(resource.clone());
        Ok(Self { room, resource: resource.clone(), id })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.desk().taken.remove(&self.resource);
    }
}

fn is_stopping(what: &str) -> Fault {
    Fault::new(FaultKind::Unavailable, format!("cannot {what}: agentd is stopping"))
        .hint("what is under way goes on when agentd is started again")
}

pub(super) fn ended(operation: &Operation) -> Fault {
    let (id, state) = (operation.id, operation.state.as_str());
    Fault::new(FaultKind::Conflict, format!("cannot cancel {id}: it has ended, {state}"))
        .hint(format!("`agentctl operation show {id}` shows what was done"))
}

fn is_over(operation: &Operation) -> bool {
    use crate::domain::OperationState as S;
    match operation.state {
        S::Succeeded | S::Unwound | S::Cancelled => true,
        S::Running | S::Unwinding | S::Stopped => false,
    }
}
