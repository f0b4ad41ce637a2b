//! Long work: what is written of it, how it stands, and the one table of its moves, for live work and for replay.
mod event;
mod id;
mod moves;
#[cfg(test)]
mod tests;
mod view;

pub use event::{OnFailure, OperationEvent, OperationPlan, PlannedStep, Reason};
pub use id::{OperationId, StepName};
pub use moves::Due;
pub use view::{CancelWish, Operation, OperationState, OperationStep, OperationSummary, StepState};
