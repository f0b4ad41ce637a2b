//! Which Unix user an agent runs as. `auto` is a uid that no person and no other agent has, the same at every start:
//! it comes from the agent's name, in the range that systemd keeps for such users.
use crate::domain::{AgentName, Fault, FaultKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
};

/// Uids for `auto`, as systemd's DynamicUser.
pub const RANGE: RangeInclusive<u32> = 61184..=65519;

/// A uid for each name. Equal names get equal uids; where two hash alike the later in the alphabet moves on.
pub fn automatic<'a>(names: impl Iterator<Item = &'a AgentName>) -> BTreeMap<AgentName, u32> {
    let mut sorted: Vec<_> = names.collect();
    sorted.sort_unstable();
    let span = RANGE.end() - RANGE.start() + 1;
    let mut taken = BTreeSet::new();
    let mut found = BTreeMap::new();
    for name in sorted {
        let first = hash(name.as_str()) % span;
        let free =
            (0..span).map(|step| RANGE.start() + (first + step) % span).find(|uid| !taken.contains(uid));
        // More agents than uids: the rest get none, and `resolve` says so.
        if let Some(uid) = free {
            taken.insert(uid);
            found.insert(name.clone(), uid);
        }
    }
    found
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
        let names = names(4000);
        let uids = automatic(names.iter());
        let distinct: BTreeSet<_> = uids.values().collect();
        assert_eq!(distinct.len(), 4000);
        assert!(uids.values().all(|uid| RANGE.contains(uid)));
        assert_eq!(uids, automatic(names.iter().rev()), "the order of the file does not matter");
        assert!(automatic(self::names(5000).iter()).len() < 5000, "the range has an end");
    }

    #[test]
    fn users_are_refused_where_they_cannot_be_had() {
        let agent: AgentName = "a".parse().expect("a name");
        let uids = automatic(std::iter::once(&agent));
        let uid = uids[&agent];
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
