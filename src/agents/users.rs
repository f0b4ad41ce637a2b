//! Which Unix user an agent runs as. `auto` is a uid that no person and no other agent has, in the range that systemd
//! keeps for such users. It is chosen once, by the agent's name, and kept in the store: who else comes or goes changes
//! nothing, and the uid of an agent that is gone stays unused for a while, since its files may still be there.
use crate::{
    config::Settings,
    domain::{AgentName, Fault, FaultKind, UidGrant},
    store::Store,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
};

/// Uids for `auto`, as systemd's DynamicUser.
pub const RANGE: RangeInclusive<u32> = 61184..=65519;

/// How long nobody gets the uid of an agent that is gone.
const RESERVED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Whom an agent may run as: the users that the manifest names, and everybody in the range of `auto`.
pub struct AgentUsers(Vec<(u32, u32)>);

impl AgentUsers {
    pub fn of(settings: &Settings) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let own = rustix::process::geteuid().as_raw();
        let named = settings.agents.iter().filter_map(|agent| agent.user.as_deref());
        let named = named.filter(|user| !matches!(*user, "auto" | "inherit"));
        Self(named.filter_map(|user| lookup(user, &passwd)).filter(|(uid, _)| *uid != own).collect())
    }

    pub fn has_user(&self, uid: u32) -> bool {
        RANGE.contains(&uid) || self.0.iter().any(|(named, _)| *named == uid)
    }

    pub fn has_group(&self, gid: u32) -> bool {
        RANGE.contains(&gid) || self.0.iter().any(|(_, named)| *named == gid)
    }
}

/// The uids of these agents: those that the store has from `before`, and the rest chosen now and kept there. None unless
/// we are root: only root can give them.
pub async fn granted(
    store: &Store,
    before: Vec<UidGrant>,
    names: &[AgentName],
    now: Timestamp,
) -> Result<BTreeMap<AgentName, u32>, Fault> {
    if !rustix::process::geteuid().is_root() {
        return Ok(BTreeMap::new());
    }
    let after = allocate(&before, names, now);
    if after != before {
        store.save_uids(after.clone()).await?;
    }
    Ok(after
        .into_iter()
        .filter(|grant| grant.gone_at.is_none())
        .map(|grant| (grant.agent, grant.uid))
        .collect())
}

/// Pure: the table of uids, by agent, once the fleet has these agents. Where two names hash alike the newcomer moves on.
fn allocate(before: &[UidGrant], names: &[AgentName], now: Timestamp) -> Vec<UidGrant> {
    let wanted: BTreeSet<&AgentName> = names.iter().collect();
    let mut table: BTreeMap<AgentName, UidGrant> = BTreeMap::new();
    for grant in before {
        let here = wanted.contains(&grant.agent);
        let gone_at = if here { None } else { Some(grant.gone_at.unwrap_or(now)) };
        if gone_at.is_none_or(|gone| now.duration_since(gone) < RESERVED) {
            table.insert(grant.agent.clone(), UidGrant { gone_at, ..grant.clone() });
        }
    }
    let span = RANGE.end() - RANGE.start() + 1;
    let mut taken: BTreeSet<u32> = table.values().map(|grant| grant.uid).collect();
    for name in wanted {
        if table.contains_key(name) {
            continue;
        }
        let first = hash(name.as_str()) % span;
        let free =
            (0..span).map(|step| RANGE.start() + (first + step) % span).find(|uid| !taken.contains(uid));
        // More agents than uids: the rest get none, and `resolve` says so.
        if let Some(uid) = free {
            taken.insert(uid);
            table.insert(name.clone(), UidGrant { agent: name.clone(), uid, gone_at: None });
        }
    }
    table.into_values().collect()
}

/// uid and gid to run as; `None` is the daemon's own.
pub fn resolve(
    agent: &AgentName,
    user: Option<&str>,
    root: bool,
    automatic: &BTreeMap<AgentName, u32>,
) -> Result<Option<(u32, u32)>, Fault> {
    let cannot = |what: String| Fault::new(FaultKind::Config, format!("cannot run {agent} {what}"));
    match (user.unwrap_or("auto"), root) {
        ("inherit", _) | ("auto", false) => Ok(None),
        ("auto", true) => match automatic.get(agent) {
            Some(uid) => Ok(Some((*uid, *uid))),
            None => {
                Err(cannot("as a user of its own: all of them are taken".into()).hint("name a user for it"))
            }
        },
        (name, root) => {
            let found = lookup(name, &fs::read_to_string("/etc/passwd").unwrap_or_default())
                .ok_or_else(|| cannot(format!("as `{}`: no such user", name.escape_debug())))?;
            let own = rustix::process::geteuid().as_raw();
            if !root && found.0 != own {
                return Err(cannot(format!("as `{}`: agentd is not root", name.escape_debug()))
                    .hint("remove `user`, or start agentd as root"));
            }
            Ok((found.0 != own).then_some(found))
        }
    }
}

/// The uid by which the first instance answers for what nothing else tells apart: one that no other agent has.
pub fn own(user: Option<(u32, u32)>, index: u32) -> Option<u32> {
    user.map(|(uid, _)| uid).filter(|uid| RANGE.contains(uid) && index == 0)
}

/// Does the manifest give a uid by which an agent's processes are told from all others? Nobody else may have it then.
pub fn is_distinctive(user: &str) -> bool {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    lookup(user, &passwd).is_some_and(|(uid, _)| RANGE.contains(&uid))
}

/// A name or a number. A number needs no entry; its group is then the same number.
fn lookup(user: &str, passwd: &str) -> Option<(u32, u32)> {
    let number: Option<u32> = user.parse().ok();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid: u32 = fields.nth(1)?.parse().ok()?;
            let gid: u32 = fields.next()?.parse().ok()?;
            (name == user || number == Some(uid)).then_some((uid, gid))
        })
        .or_else(|| number.map(|number| (number, number)))
}

/// FNV-1a: the same in every version of every program.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u32) -> Vec<AgentName> {
        (0..count).map(|n| format!("agent-{n}").parse().expect("a name")).collect()
    }

    #[test]
    fn every_agent_has_a_uid_of_its_own_in_the_range() {
        let now = Timestamp::UNIX_EPOCH;
        let mut names = names(4000);
        let table = allocate(&[], &names, now);
        let distinct: BTreeSet<_> = table.iter().map(|grant| grant.uid).collect();
        assert_eq!(distinct.len(), 4000);
        assert!(table.iter().all(|grant| RANGE.contains(&grant.uid)));
        names.reverse();
        assert_eq!(table, allocate(&[], &names, now), "the order of the file does not matter");
        assert!(allocate(&[], &self::names(5000), now).len() < 5000, "the range has an end");
    }

    /// So many names that newcomers are sure to hash onto the uids of others, and to come before them in the alphabet.
    #[test]
    fn who_comes_and_goes_changes_nobody_elses_uid_and_a_uid_is_not_used_again_soon() {
        let day = |n: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * n);
        let all = names(4000);
        let (old, new) = all.split_at(2000);
        let first = allocate(&[], old, day(0));
        let uid_in = |table: &[UidGrant], name: &AgentName| {
            table.iter().find(|grant| grant.agent == *name).map(|grant| grant.uid)
        };
        let grown = allocate(&first, &all, day(1));
        assert!(old.iter().all(|name| uid_in(&first, name) == uid_in(&grown, name)), "an uid has moved");
        // All of the old go; their uids wait for thirty days, and come back to them if they do.
        let without = allocate(&grown, new, day(2));
        assert_eq!(without.iter().filter(|grant| grant.gone_at == Some(day(2))).count(), 2000);
        let crowd: Vec<AgentName> = (0..2000).map(|n| format!("late-{n}").parse().expect("a name")).collect();
        let taken: BTreeSet<u32> = first.iter().map(|grant| grant.uid).collect();
        let late = |table: &[UidGrant]| {
            table.iter().filter(|g| g.agent.as_str().starts_with("late") && taken.contains(&g.uid)).count()
        };
        assert_eq!(late(&allocate(&without, &crowd, day(31))), 0, "a uid was used again too soon");
        assert!(late(&allocate(&without, &crowd, day(33))) > 0, "uids are lost for ever");
        let back = allocate(&without, &all, day(31));
        assert!(old.iter().all(|name| uid_in(&first, name) == uid_in(&back, name)));
    }

    #[test]
    fn users_are_refused_where_they_cannot_be_had() {
        let agent: AgentName = "a".parse().expect("a name");
        let (uid, uids) = (61_200, BTreeMap::from([(agent.clone(), 61_200)]));
        assert_eq!(resolve(&agent, None, true, &uids).expect("a user"), Some((uid, uid)));
        assert_eq!(resolve(&agent, Some("auto"), false, &uids).expect("own"), None);
        assert_eq!(resolve(&agent, Some("inherit"), true, &uids).expect("own"), None);
        assert!(resolve(&agent, Some("no-such-user-here"), true, &uids).is_err());
        assert!(resolve(&agent, Some("54321"), false, &uids).is_err(), "only root becomes another");
        assert!(resolve(&agent, None, true, &BTreeMap::new()).is_err());
    }

    #[test]
    fn passwd_is_read_by_name_and_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nweb:x:33:44::/:/bin/false\n";
        assert_eq!(lookup("web", passwd), Some((33, 44)));
        assert_eq!(lookup("33", passwd), Some((33, 44)));
        assert_eq!(lookup("7", passwd), Some((7, 7)));
        assert_eq!(lookup("x", passwd), None);
    }
}
