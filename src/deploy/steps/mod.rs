//! The steps that deployments and rollbacks are made of. Each can be run again, and undone.
mod backup;
mod hands;
mod make_backup;
mod make_release;
mod making;
mod migrate;
mod off;
mod on;
mod prepare;
mod quiescent;
mod record;
mod restore;
mod restore_external;
mod switch;
mod target;
mod verify;

pub use hands::{Hands, Reload};
pub use make_backup::blueprint as backup_to_make;
pub use make_release::blueprint as release_to_make;
pub use making::Making;
pub use verify::{MARGIN, STEADY, Standing, judge};

use crate::operations::Step;
use std::sync::Arc;

pub const TARGET: &str = "target";
pub const BACKUP: &str = "backup";
pub const OFF: &str = "off";
pub const QUIESCENT: &str = "quiescent";
pub const PREPARE: &str = "prepare";
pub const MIGRATE_UP: &str = "migrate-up";
pub const MIGRATE_DOWN: &str = "migrate-down";
pub const RESTORE_EXTERNAL: &str = "restore-external";
pub const RESTORE: &str = "restore";
pub const SWITCH: &str = "switch";
pub const ON: &str = "on";
pub const VERIFY: &str = "verify";
pub const RECORD: &str = "record";
pub const MAKE_RELEASE: &str = "make-release";
pub const MAKE_BACKUP: &str = "make-backup";

type Make = fn(Arc<Hands>) -> Arc<dyn Step>;

/// One line a step.
const STEPS: &[(&str, &str, Make)] = &[
    (TARGET, "Verify the release or backup that is to be put in place", |hands| {
        Arc::new(target::Target(hands))
    }),
    (BACKUP, "Make a backup of what is there now", |hands| Arc::new(backup::Backup(hands))),
    (OFF, "Stop every agent and start none", |hands| Arc::new(off::Off(hands))),
    (QUIESCENT, "Prove that nothing of the fleet is alive", |hands| Arc::new(quiescent::Quiescent(hands))),
    (PREPARE, "Set up what its first start needs", |hands| Arc::new(prepare::Prepare(hands))),
    (MIGRATE_UP, "Bring the data forward", |hands| Arc::new(migrate::Migrate::up(hands))),
    (MIGRATE_DOWN, "Bring the data back", |hands| Arc::new(migrate::Migrate::down(hands))),
    (RESTORE_EXTERNAL, "Put the databases of the applications back", |hands| {
        Arc::new(restore_external::RestoreExternal(hands))
    }),
    (RESTORE, "Put the daemon's own database back, and start it anew", |hands| {
        Arc::new(restore::Restore(hands))
    }),
    (SWITCH, "Switch to the release and its configuration", |hands| Arc::new(switch::Switch(hands))),
    (ON, "Start the agents in order", |hands| Arc::new(on::On(hands))),
    (VERIFY, "Verify that all of it runs, and stays", |hands| Arc::new(verify::Verify(hands))),
    (RECORD, "Record where the releases stand", |hands| Arc::new(record::Record(hands))),
    (MAKE_RELEASE, "Copy what ships, and record it", |hands| Arc::new(make_release::MakeRelease(hands))),
    (MAKE_BACKUP, "Copy the state, and read it back", |hands| Arc::new(make_backup::MakeBackup(hands))),
];

/// Every step, for the registry of operations.
pub fn steps(hands: &Arc<Hands>) -> Vec<Arc<dyn Step>> {
    STEPS.iter().map(|(_, _, make)| make(Arc::clone(hands))).collect()
}

pub fn title(name: &str) -> &'static str {
    STEPS.iter().find(|(known, ..)| *known == name).map_or("", |(_, title, _)| title)
}
