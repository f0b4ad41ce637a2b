//! What an earlier daemon left: who is taken over alive, and who is ended because nobody may answer for it.
use super::{
    child::{Child, Group},
    plan::Plan,
    procfs::{self, Marked},
    shared::Shared,
    streams, users,
};
use crate::domain::{Desire, InstanceId, InstanceRecord};
use std::collections::{BTreeMap, BTreeSet};

/// What one instance starts with.
#[derive(Default)]
pub struct Inheritance {
    pub adopted: Option<(Child, InstanceRecord)>,
    /// Ended before the instance starts.
    pub leftovers: Vec<Group>,
    /// The store still has a record of it.
    pub recorded: bool,
}

/// Why a recorded process may not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    /// Its agent or replica is gone from the manifest, switched off or stopped by hand.
    Unwanted,
    /// It was started with other settings.
    Changed,
    /// Recorded before the machine was last started.
    OtherBoot,
}

/// Pure: may this record be adopted under this plan?
fn judge(record: &InstanceRecord, plan: Option<(&Plan, &Desire)>, boot_id: &str) -> Result<(), Unfit> {
    let (plan, desire) = plan.ok_or(Unfit::Unwanted)?;
    if !plan.enabled || desire.stopped || record.id.index >= plan.replicas(desire) {
        Err(Unfit::Unwanted)
    } else if record.spec_digest != plan.digest {
        Err(Unfit::Changed)
    } else if record.boot_id != boot_id || boot_id.is_empty() {
        Err(Unfit::OtherBoot)
    } else {
        Ok(())
    }
}

/// Sorts records and marked processes by instance. Those of instances that no plan wants come back too.
pub fn inherit<'a>(
    records: Vec<InstanceRecord>,
    marked: &[Marked],
    plan_of: impl Fn(&InstanceId) -> Option<(&'a Plan, &'a Desire)>,
    shared: &Shared,
) -> BTreeMap<InstanceId, Inheritance> {
    let boot_id = shared.boot_id.as_str();
    let group_of = |id: &InstanceId, leader| {
        let (_, stdout, stderr) = streams::fifos(&shared.paths, id);
        Group {
            fleet_id: shared.fleet_id.clone(),
            instance: id.clone(),
            leader,
            cgroup: shared.cgroups.as_ref().and_then(|tree| tree.existing(id)),
            fifos: vec![stdout, stderr],
            uid: plan_of(id).and_then(|(plan, _)| users::own(plan.user, id.index)),
        }
    };
    let mut heirs: BTreeMap<InstanceId, Inheritance> = BTreeMap::new();
    let mut leaders: BTreeMap<InstanceId, (i32, u64)> = BTreeMap::new();
    for record in records {
        let id = record.id.clone();
        let heir = heirs.entry(id.clone()).or_default();
        heir.recorded = true;
        match judge(&record, plan_of(&id), boot_id) {
            Ok(()) => {
                let child = Child::adopt(record.pid, record.pid_start, &record.boot_id, group_of(&id, None));
                heir.adopted = child.map(|child| (child, record));
            }
            Err(why) => {
                tracing::info!(instance = %id, ?why, "an earlier daemon's process is not adopted");
                if record.boot_id == boot_id {
                    leaders.insert(id, (record.pid, record.pid_start));
                }
            }
        }
    }
    let left: BTreeSet<&InstanceId> = marked
        .iter()
        .map(|process| &process.instance)
        .filter(|id| heirs.get(id).is_none_or(|heir| heir.adopted.is_none()))
        .collect();
    for id in left {
        // Its leader, if it still is the process that was recorded; else whichever marked process leads a group.
        let recorded = leaders.get(id).copied().filter(|leader| is_still(*leader));
        let leading = || {
            let of_it = |process: &&Marked| process.instance == *id && process.pid == process.pgid;
            marked.iter().find(of_it).map(|process| (process.pid, process.pid_start))
        };
        let group = group_of(id, recorded.or_else(leading));
        heirs.entry(id.clone()).or_default().leftovers.push(group);
    }
    heirs
}

fn is_still((pid, start): (i32, u64)) -> bool {
    procfs::read(pid).is_some_and(|process| process.start == start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::plan, config::Settings};
    use serde_json::json;

    #[test]
    fn only_what_is_wanted_unchanged_and_of_this_boot_is_kept() {
        let settings: Settings = serde_json::from_value(json!({ "agent": [
            { "name": "a", "kind": "process", "replicas": 2, "options": { "command": ["x"] } },
        ]}))
        .expect("settings");
        let plans = plan::plans(&settings, &plan::tests::some_uids(), true).expect("plans");
        let plan = &*plans[0];
        let record = |index: u32, digest: &str, boot: &str| InstanceRecord {
            id: InstanceId::new("a".parse().expect("a name"), index),
            pid: 1,
            pid_start: 1,
            boot_id: boot.into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            port: None,
            spec_digest: digest.into(),
            was_ready: true,
            release: None,
        };
        let (no_wish, same) = (Desire::default(), plan.digest.as_str());
        let stopped = Desire { stopped: true, replicas: None };
        let scaled = Desire { stopped: false, replicas: Some(5) };
        let table = [
            (record(0, same, "b"), Some(&no_wish), Ok(())),
            (record(1, same, "b"), Some(&no_wish), Ok(())),
            (record(2, same, "b"), Some(&no_wish), Err(Unfit::Unwanted)),
            (record(2, same, "b"), Some(&scaled), Ok(())),
            (record(0, same, "b"), Some(&stopped), Err(Unfit::Unwanted)),
            (record(0, same, "b"), None, Err(Unfit::Unwanted)),
            (record(0, "other", "b"), Some(&no_wish), Err(Unfit::Changed)),
            (record(0, same, "before"), Some(&no_wish), Err(Unfit::OtherBoot)),
        ];
        for (record, desire, want) in table {
            assert_eq!(
                judge(&record, desire.map(|desire| (plan, desire)), "b"),
                want,
                "{record:?} {desire:?}"
            );
        }
    }
}
