//! The steps that deployments and rollbacks are made of. Each can be run again, and undone.
mod backup;
mod hands;
mod migrate;
mod off;
mod on;
mod quiescent;
mod record;
mod switch;
mod target;
mod verify;

pub use hands::{Hands, Reload};
pub use verify::{MARGIN, STEADY, Standing, judge};

use crate::operations::Step;
use std::sync::Arc;

pub const TARGET: &str = "target";
pub const BACKUP: &str = "backup";
pub const OFF: &str = "off";
pub const QUIESCENT: &str = "quiescent";
pub const MIGRATE_UP: &str = "migrate-up";
pub const MIGRATE_DOWN: &str = "migrate-down";
pub const SWITCH: &str = "switch";
pub const ON: &str = "on";
pub const VERIFY: &str = "verify";
pub const RECORD: &str = "record";

type Make = fn(Arc<Hands>) -> Arc<dyn Step>;

/// One line a step.
const STEPS: &[(&str, &str, Make)] = &[
    (TARGET, "Verify the release that is to run", |hands| Arc::new(target::Target(hands))),
    (BACKUP, "Make a backup of what is there now", |hands| Arc::new(backup::Backup(hands))),
    (OFF, "Stop every agent and start none", |hands| Arc::new(off::Off(hands))),
    (QUIESCENT, "Prove that nothing of the fleet is alive", |hands| Arc::new(quiescent::Quiescent(hands))),
    (MIGRATE_UP, "Bring the data forward", |hands| Arc::new(migrate::Migrate::up(hands))),
    (MIGRATE_DOWN, "Bring the data back", |hands| Arc::new(migrate::Migrate::down(hands))),
    (SWITCH, "Switch to the release and its configuration", |hands| Arc::new(switch::Switch(hands))),
    (ON, "Start the agents in order", |hands| Arc::new(on::On(hands))),
    (VERIFY, "Verify that all of it runs, and stays", |hands| Arc::new(verify::Verify(hands))),
    (RECORD, "Record where the releases stand", |hands| Arc::new(record::Record(hands))),
];

/// Every step, for the registry of operations.
pub fn steps(hands: &Arc<Hands>) -> Vec<Arc<dyn Step>> {
    STEPS.iter().map(|(_, _, make)| make(Arc::clone(hands))).collect()
}

pub fn title(name: &str) -> &'static str {
    STEPS.iter().find(|(known, ..)| *known == name).map_or("", |(_, title, _)| title)
}
