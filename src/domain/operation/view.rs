//! An operation as it is shown: made from its plan, moved by the entries of its journal and by nothing else.
use super::{OnFailure, OperationEvent, OperationId, OperationPlan, Reason, StepName};
use crate::domain::{Period, Principal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    Running,
    /// A step failed, or somebody asked for it: what was done is being undone.
    Unwinding,
    Succeeded,
    /// A step failed, and all that was done is undone.
    Unwound,
    /// Somebody called it off, and all that was done is undone.
    Cancelled,
    /// It ended in between. Somebody must look.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Nothing of it was begun.
    Waiting,
    /// It was begun, and there is no result: it may have happened or not.
    Running,
    Done,
    Failed,
    /// Its undo was begun, and there is no result.
    Undoing,
    Undone,
    UndoFailed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub id: OperationId,
    pub kind: String,
    pub title: String,
    pub resource: String,
    pub state: OperationState,
    pub on_failure: OnFailure,
    pub by: Principal,
    pub begun_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Until it ended, or until now; what agentd was down meanwhile counts.
    pub elapsed_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Period>,
    pub over_budget: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelWish>,
    /// Why it was unwound or stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    pub arguments: Value,
    pub steps: Vec<OperationStep>,
    /// Differs from every earlier one while anything changes: what a follower asks from.
    pub cursor: u64,
}

/// Who called it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelWish {
    pub by: Principal,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationStep {
    pub name: StepName,
    pub title: String,
    pub state: StepState,
    /// How often it was begun: more than once where agentd was cut off in the middle.
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_began_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_elapsed_ms: Option<u64>,
    /// The last that it told of its progress. Not in the journal: it is forgotten at a restart of agentd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// Why it could not be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_why: Option<Reason>,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationSummary {
    pub id: OperationId,
    pub kind: String,
    pub title: String,
    pub resource: String,
    pub state: OperationState,
    pub by: Principal,
    pub begun_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    pub elapsed_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Period>,
    pub over_budget: bool,
    pub steps: u32,
    /// Those that ran to their end, whatever became of it later.
    pub ran: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
}

impl OperationState {
    pub const ALL: &'static [Self] =
        &[Self::Running, Self::Unwinding, Self::Succeeded, Self::Unwound, Self::Cancelled, Self::Stopped];

    /// Nothing more happens to it by itself.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Running | Self::Unwinding => false,
            Self::Succeeded | Self::Unwound | Self::Cancelled | Self::Stopped => true,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Succeeded => "succeeded",
            Self::Unwound => "unwound",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
        }
    }
}

impl StepState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::UndoFailed => "undo-failed",
        }
    }

    /// Something of it may be there: it was begun, and its undo did not succeed.
    pub fn is_left(self) -> bool {
        match self {
            Self::Waiting | Self::Undone => false,
            Self::Running | Self::Done | Self::Failed | Self::Undoing | Self::UndoFailed => true,
        }
    }
}

impl Operation {
    /// As it stands when its plan is written.
    pub fn begun(plan: OperationPlan, at: Timestamp) -> Self {
        let steps = plan.steps.into_iter().map(|step| OperationStep {
            name: step.name,
            title: step.title,
            state: StepState::Waiting,
            attempts: 0,
            began_at: None,
            ended_at: None,
            elapsed_ms: None,
            undo_began_at: None,
            undo_ended_at: None,
            undo_elapsed_ms: None,
            note: None,
            left: None,
            why: None,
            undo_why: None,
        });
        Self {
            id: plan.id,
            kind: plan.kind,
            title: plan.title,
            resource: plan.resource,
            state: OperationState::Running,
            on_failure: plan.on_failure,
            by: plan.by,
            begun_at: at,
            ended_at: None,
            elapsed_ms: 0,
            budget: plan.budget,
            over_budget: false,
            cancel: None,
            why: None,
            arguments: plan.arguments,
            steps: steps.collect(),
            cursor: 1,
        }
    }

    /// One entry further; what the table does not know is refused, and nothing changes.
    pub fn apply(&mut self, event: OperationEvent, at: Timestamp) -> Result<(), String> {
        use OperationEvent as E;
        let Some(state) = self.next_state(&event) else {
            return Err(format!("{} cannot follow here", event.word()));
        };
        if let Some(step) = event.step().and_then(|name| self.index(name)) {
            let moved = event.step_state();
            let step = &mut self.steps[step];
            step.state = moved.unwrap_or(step.state);
            match &event {
                E::Intended { .. } => {
                    step.attempts += 1;
                    step.began_at.get_or_insert(at);
                }
                E::Done { .. } | E::Failed { .. } => step.ended_at = Some(at),
                E::UndoIntended { .. } => {
                    step.undo_began_at.get_or_insert(at);
                    // What it told was about its run.
                    step.note = None;
                }
                E::Undone { .. } | E::UndoFailed { .. } => step.undo_ended_at = Some(at),
                E::Begun(_) | E::CancelAsked { .. } | E::Stopped { .. } => {}
            }
            match &event {
                E::Done { left, .. } => step.left = (!left.is_null()).then(|| left.clone()),
                E::Failed { why, .. } => step.why = Some(why.clone()),
                E::UndoFailed { why, .. } => step.undo_why = Some(why.clone()),
                _ => {}
            }
        }
        match event {
            E::Failed { why, .. } | E::UndoFailed { why, .. } | E::Stopped { why } => self.why = Some(why),
            E::CancelAsked { by } => self.cancel = Some(CancelWish { by, at }),
            _ => {}
        }
        self.state = state;
        self.ended_at = state.is_terminal().then_some(at);
        self.cursor += 1;
        Ok(())
    }

    /// With the times as they are at this moment.
    #[must_use]
    pub fn seen_at(mut self, now: Timestamp) -> Self {
        self.elapsed_ms = between(self.begun_at, self.ended_at.unwrap_or(now));
        let limit = self.budget.map(|budget| u64::try_from(budget.0.as_millis()).unwrap_or(u64::MAX));
        self.over_budget = limit.is_some_and(|limit| self.elapsed_ms > limit);
        let over = self.ended_at.unwrap_or(now);
        for step in &mut self.steps {
            // Cut off: its time ended with the operation's.
            step.elapsed_ms = step.began_at.map(|from| between(from, step.ended_at.unwrap_or(over)));
            step.undo_elapsed_ms =
                step.undo_began_at.map(|from| between(from, step.undo_ended_at.unwrap_or(over)));
        }
        self
    }

    pub fn summary(&self) -> OperationSummary {
        let ran = self.steps.iter().filter(|step| step.ended_at.is_some() && step.why.is_none()).count();
        OperationSummary {
            id: self.id,
            kind: self.kind.clone(),
            title: self.title.clone(),
            resource: self.resource.clone(),
            state: self.state,
            by: self.by.clone(),
            begun_at: self.begun_at,
            ended_at: self.ended_at,
            elapsed_ms: self.elapsed_ms,
            budget: self.budget,
            over_budget: self.over_budget,
            steps: u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
            ran: u32::try_from(ran).unwrap_or(u32::MAX),
            why: self.why.clone(),
        }
    }

    pub(super) fn index(&self, name: &StepName) -> Option<usize> {
        self.steps.iter().position(|step| step.name == *name)
    }
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
