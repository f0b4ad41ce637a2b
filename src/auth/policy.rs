//! Identity → Role: root and the daemon's own user are admin, [access] says the rest, everybody else has none.
use crate::{
    config::AccessSettings,
    domain::{Identity, Role},
};
use std::{collections::HashMap, fs, io};

/// [access] with its names resolved to numbers, so that a decision is two look-ups.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    own_uid: u32,
    users: HashMap<u32, Role>,
    groups: HashMap<u32, Role>,
}

/// User and group names as this machine gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Policy {
    /// The policy, and the names that nobody here bears: those grant nothing.
    pub fn resolve(access: &AccessSettings, names: &Names, own_uid: u32) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        // Weakest first, so that whoever stands in two lists keeps the stronger role.
        let users = [
            (&access.viewer_users, Role::Viewer),
            (&access.operator_users, Role::Operator),
            (&access.admin_users, Role::Admin),
        ];
        let groups = [
            (&access.viewer_groups, Role::Viewer),
            (&access.operator_groups, Role::Operator),
            (&access.admin_groups, Role::Admin),
        ];
        let policy = Self {
            own_uid,
            users: numbers(users, &names.users, "user", &mut unknown),
            groups: numbers(groups, &names.groups, "group", &mut unknown),
        };
        (policy, unknown)
    }

    /// The stronger of what its user and its primary group give.
    pub fn role(&self, identity: &Identity) -> Option<Role> {
        if identity.uid == 0 || identity.uid == self.own_uid {
            return Some(Role::Admin);
        }
        let by_user = self.users.get(&identity.uid).copied();
        let by_group = self.groups.get(&identity.gid).copied();
        [by_user, by_group].into_iter().flatten().max_by_key(|role| role.permissions().len())
    }
}

impl Names {
    /// From /etc/passwd and /etc/group. Users of a directory service are not in them: name those by number.
    pub fn of_this_machine() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/etc/passwd")?, &fs::read_to_string("/etc/group")?))
    }

    pub fn parse(passwd: &str, group: &str) -> Self {
        Self { users: third_fields(passwd), groups: third_fields(group) }
    }

    /// A user by name or number.
    pub fn user(&self, name: &str) -> Option<u32> {
        number(name, &self.users)
    }

    /// A group by name or number.
    pub fn group(&self, name: &str) -> Option<u32> {
        number(name, &self.groups)
    }
}

fn numbers(
    lists: [(&Vec<String>, Role); 3],
    names: &HashMap<String, u32>,
    what: &str,
    unknown: &mut Vec<String>,
) -> HashMap<u32, Role> {
    let mut roles = HashMap::new();
    for (list, role) in lists {
        for name in list {
            match number(name, names) {
                Some(id) => _ = roles.insert(id, role),
                None => unknown.push(format!("{what} {name}")),
            }
        }
    }
    roles
}

/// A name, or else a number.
fn number(text: &str, names: &HashMap<String, u32>) -> Option<u32> {
    names.get(text).copied().or_else(|| text.parse().ok())
}

/// `name:password:number:…`, a line each; lines that are not so are passed over.
fn third_fields(text: &str) -> HashMap<String, u32> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, number) = (fields.next()?, fields.nth(1)?);
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nana:x:1001:100::/:\nbroken\nbo:x:1002:100::/:\n";
    const GROUP: &str = "users:x:100:\nops:x:200:ana,bo\n";

    fn policy(access: &AccessSettings) -> Policy {
        Policy::resolve(access, &Names::parse(PASSWD, GROUP), 999).0
    }

    #[test]
    fn everyone_gets_what_the_table_says() {
        let access = AccessSettings {
            admin_users: vec!["ana".into()],
            operator_users: vec!["1003".into(), "ana".into()],
            viewer_users: vec!["bo".into()],
            operator_groups: vec!["ops".into()],
            viewer_groups: vec!["300".into()],
            ..AccessSettings::default()
        };
        let table = [
            ((0, 0), Some(Role::Admin)),
            ((999, 1), Some(Role::Admin)),
            ((1001, 100), Some(Role::Admin)), // ana: the stronger of two lists
            ((1003, 100), Some(Role::Operator)), // by number
            ((1002, 100), Some(Role::Viewer)),
            ((1002, 200), Some(Role::Operator)), // bo, started in group ops
            ((5000, 200), Some(Role::Operator)),
            ((5000, 300), Some(Role::Viewer)),
            ((5000, 100), None),
            ((65534, 65534), None),
        ];
        for ((uid, gid), role) in table {
            assert_eq!(policy(&access).role(&Identity { uid, gid, pid: None }), role, "uid {uid} gid {gid}");
        }
    }

    #[test]
    fn a_name_nobody_bears_grants_nothing_and_is_reported() {
        let access = AccessSettings {
            admin_users: vec!["mallory".into()],
            admin_groups: vec!["wheel".into()],
            ..AccessSettings::default()
        };
        let (policy, unknown) = Policy::resolve(&access, &Names::parse(PASSWD, GROUP), 999);
        assert_eq!(unknown, ["user mallory", "group wheel"]);
        assert_eq!(policy.role(&Identity { uid: 1001, gid: 100, pid: None }), None);
    }
}
