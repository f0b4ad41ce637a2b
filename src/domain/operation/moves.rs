//! The one table: which entry may follow, how the operation stands after it, and what is due next. Pure, so that a
//! journal that is read again comes to where the work came.
use super::{OnFailure, Operation, OperationEvent, OperationState, StepName, StepState};

/// What is to be done next, by the place of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Run(usize),
    /// It was begun, it was called off, and whoever ran it was cut off: it counts as failed.
    GiveUp(usize),
    Undo(usize),
    Nothing,
}

impl Operation {
    /// How it stands after this entry; none where it cannot follow.
    pub fn next_state(&self, event: &OperationEvent) -> Option<OperationState> {
        use OperationEvent as E;
        use OperationState as O;
        use StepState as S;
        let at = event.step().map(|name| self.index(name));
        // Of a step that the plan does not name.
        if at == Some(None) {
            return None;
        }
        let at = at.flatten();
        let stands = at.map(|at| self.steps[at].state);
        match (self.state, event, stands) {
            (O::Running, E::Intended { .. }, Some(S::Waiting | S::Running)) => {
                (at == self.next_to_run() && self.cancel.is_none()).then_some(O::Running)
            }
            (O::Running, E::Done { .. }, Some(S::Running)) if self.cancel.is_some() => Some(O::Unwinding),
            (O::Running, E::Done { .. }, Some(S::Running)) => {
                let last = at.is_some_and(|at| at + 1 == self.steps.len());
                Some(if last { O::Succeeded } else { O::Running })
            }
            (O::Running, E::Failed { .. }, Some(S::Running)) => {
                let unwind = self.cancel.is_some() || self.on_failure == OnFailure::Unwind;
                Some(if unwind { O::Unwinding } else { O::Stopped })
            }
            (O::Running, E::CancelAsked { .. }, None) if self.cancel.is_none() => {
                let under_way = self.steps.iter().any(|step| step.state == S::Running);
                match self.next_to_undo() {
                    _ if under_way => Some(O::Running),
                    Some(_) => Some(O::Unwinding),
                    None => Some(O::Cancelled),
                }
            }
            (O::Unwinding, E::UndoIntended { .. }, _) => (at == self.next_to_undo()).then_some(O::Unwinding),
            (O::Unwinding, E::Undone { .. }, Some(S::Undoing)) => {
                let more = (0..self.steps.len()).any(|other| Some(other) != at && self.is_left(other));
                match (more, &self.cancel) {
                    (true, _) => Some(O::Unwinding),
                    (false, Some(_)) => Some(O::Cancelled),
                    (false, None) => Some(O::Unwound),
                }
            }
            (O::Unwinding, E::UndoFailed { .. }, Some(S::Undoing))
            | (O::Running | O::Unwinding, E::Stopped { .. }, None) => Some(O::Stopped),
            _ => None,
        }
    }

    pub fn due(&self) -> Due {
        let nothing = Due::Nothing;
        match self.state {
            OperationState::Running if self.cancel.is_some() => {
                self.next_to_run().map_or(nothing, Due::GiveUp)
            }
            OperationState::Running => self.next_to_run().map_or(nothing, Due::Run),
            OperationState::Unwinding => self.next_to_undo().map_or(nothing, Due::Undo),
            _ => nothing,
        }
    }

    fn next_to_run(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.state != StepState::Done)
    }

    /// The last of those that were begun.
    fn next_to_undo(&self) -> Option<usize> {
        (0..self.steps.len()).rev().find(|at| self.is_left(*at))
    }

    fn is_left(&self, at: usize) -> bool {
        self.steps[at].state.is_left()
    }
}

impl OperationEvent {
    pub fn step(&self) -> Option<&StepName> {
        match self {
            Self::Intended { step }
            | Self::Done { step, .. }
            | Self::Failed { step, .. }
            | Self::UndoIntended { step }
            | Self::Undone { step }
            | Self::UndoFailed { step, .. } => Some(step),
            Self::Begun(_) | Self::CancelAsked { .. } | Self::Stopped { .. } => None,
        }
    }

    /// How its step stands after it.
    pub(super) fn step_state(&self) -> Option<StepState> {
        match self {
            Self::Intended { .. } => Some(StepState::Running),
            Self::Done { .. } => Some(StepState::Done),
            Self::Failed { .. } => Some(StepState::Failed),
            Self::UndoIntended { .. } => Some(StepState::Undoing),
            Self::Undone { .. } => Some(StepState::Undone),
            Self::UndoFailed { .. } => Some(StepState::UndoFailed),
            Self::Begun(_) | Self::CancelAsked { .. } | Self::Stopped { .. } => None,
        }
    }

    /// As the journal calls it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Intended { .. } => "intended",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::CancelAsked { .. } => "cancel-asked",
            Self::UndoIntended { .. } => "undo-intended",
            Self::Undone { .. } => "undone",
            Self::UndoFailed { .. } => "undo-failed",
            Self::Stopped { .. } => "stopped",
        }
    }
}
