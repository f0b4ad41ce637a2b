//! Whom [access] lets in that is not anybody in particular: accounts that services share, groups that everybody is in,
//! words that are meant for everybody, and names that nobody bears yet.
#[cfg(test)]
use crate::readiness::checks::{Saboteur, Tried};
use crate::{
    auth::Names,
    config::AccessSettings,
    domain::Role,
    readiness::{Evidence, Found},
};
#[cfg(test)]
use futures_util::FutureExt;

/// uid and gid of nobody, of overflow, and of what kernels use for ids that they cannot map.
const NOBODY: &[u32] = &[65534, 65535, u32::MAX - 1, u32::MAX];
/// What people write who mean everybody.
const EVERYBODY: &[&str] = &["*", "all", "any", "anyone", "everyone", "everybody", "world", "others"];
/// Accounts that come with the system and belong to whatever runs as them.
const SHARED_USERS: &[&str] =
    &["nobody", "daemon", "bin", "sys", "guest", "www-data", "http", "apache", "nginx"];
/// Groups that are the primary group of people or services who have nothing else in common. Group root is also that of
/// any user in containers that give out uids at random.
const SHARED_GROUPS: &[&str] =
    &["root", "users", "nogroup", "nobody", "daemon", "guest", "staff", "www-data", "http"];

/// One entry of a list that names nobody in particular.
struct Loose {
    /// `operator_groups: users`
    entry: String,
    why: &'static str,
    role: Role,
}

pub async fn nobody_in_particular(evidence: &Evidence) -> Found {
    match Names::of_this_machine() {
        Ok(names) => judge(&evidence.settings.access, &names),
        Err(error) => Found::error(format!("cannot read this machine's users and groups: {error}")),
    }
}

fn judge(access: &AccessSettings, names: &Names) -> Found {
    let lists = [
        ("admin_users", Role::Admin, &access.admin_users, true),
        ("operator_users", Role::Operator, &access.operator_users, true),
        ("viewer_users", Role::Viewer, &access.viewer_users, true),
        ("admin_groups", Role::Admin, &access.admin_groups, false),
        ("operator_groups", Role::Operator, &access.operator_groups, false),
        ("viewer_groups", Role::Viewer, &access.viewer_groups, false),
    ];
    let (mut loose, mut named) = (Vec::new(), 0);
    for (list, role, entries, of_users) in lists {
        for entry in entries {
            named += 1;
            if let Some(why) = looseness(entry, of_users, names) {
                loose.push(Loose { entry: format!("{list}: {entry}"), why, role });
            }
        }
    }
    let Some(first) = loose.first() else {
        return Found::pass(match named {
            0 => "root and the daemon's own user alone are let in".to_owned(),
            _ => format!("beside root and the daemon's own user, {named} users and groups, each somebody"),
        });
    };
    let said = format!("[access] {}: {}", first.entry, first.why);
    // One who looks does less harm than one who acts.
    let acts = loose.iter().any(|one| one.role != Role::Viewer);
    let found = if acts { Found::fail(said) } else { Found::warn(said) };
    loose.into_iter().fold(found, |found, Loose { entry, why, .. }| {
        found.seen(format!("{entry}: {why}")).about(format!("access/{entry}"), why)
    })
}

/// Why an entry is nobody in particular; none where it is somebody.
fn looseness(entry: &str, of_users: bool, names: &Names) -> Option<&'static str> {
    let lower = entry.trim().to_lowercase();
    if lower.is_empty() || EVERYBODY.contains(&lower.as_str()) {
        return Some("it is meant for everybody, and names who is called so");
    }
    let number = if of_users { names.user(entry) } else { names.group(entry) };
    let Some(number) = number else {
        return Some("nobody here bears that name: whoever makes it later is let in");
    };
    if NOBODY.contains(&number) {
        return Some("it is nobody's own: what has no user of its own runs as that");
    }
    let shared = if of_users { SHARED_USERS } else { SHARED_GROUPS };
    let one_of_them = shared.iter().any(|name| {
        *name == lower || (if of_users { names.user(name) } else { names.group(name) }) == Some(number)
    });
    if one_of_them {
        return Some(if of_users {
            "whatever service runs as that account is let in"
        } else {
            "whoever has it as primary group is let in, whatever else they are"
        });
    }
    None
}

#[cfg(test)]
const PASSWD: &str = "root:x:0:0::/:\nnobody:x:65534:65534::/:\nwww-data:x:33:33::/:\nana:x:1001:100::/:\n";
#[cfg(test)]
const GROUP: &str = "root:x:0:\nusers:x:100:\nnogroup:x:65534:\nops:x:200:ana\n";

#[cfg(test)]
pub const SABOTEUR: Saboteur = Saboteur {
    of: "AU-014",
    at_work: || {
        let judged = |list: fn(&mut AccessSettings) -> &mut Vec<String>, entry: &str| {
            let mut access = AccessSettings::default();
            list(&mut access).push(entry.into());
            judge(&access, &Names::parse(PASSWD, GROUP))
        };
        let sound = vec![
            judge(&AccessSettings::default(), &Names::parse(PASSWD, GROUP)),
            judged(|access| &mut access.operator_users, "ana"),
            judged(|access| &mut access.admin_users, "1001"),
            judged(|access| &mut access.viewer_groups, "ops"),
        ];
        let broken = vec![
            ("nobody as an operator", judged(|access| &mut access.operator_users, "nobody")),
            ("nobody by number", judged(|access| &mut access.viewer_users, "65534")),
            ("the web server's user", judged(|access| &mut access.operator_users, "www-data")),
            ("the same by number", judged(|access| &mut access.operator_users, "33")),
            ("a star", judged(|access| &mut access.viewer_users, "*")),
            ("everyone", judged(|access| &mut access.admin_groups, "Everyone")),
            ("group root", judged(|access| &mut access.operator_groups, "0")),
            ("group users", judged(|access| &mut access.viewer_groups, "users")),
            ("a name that nobody bears", judged(|access| &mut access.admin_users, "mallory")),
        ];
        async move { Tried { sound, broken } }.boxed()
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn who_only_looks_is_a_warning_and_who_acts_is_more() {
        let names = Names::parse(PASSWD, GROUP);
        let mut access = AccessSettings { viewer_groups: vec!["users".into()], ..AccessSettings::default() };
        assert_eq!(judge(&access, &names).outcome, Outcome::Warn);
        access.operator_groups.push("users".into());
        let found = judge(&access, &names);
        assert_eq!((found.outcome, found.affected.len()), (Outcome::Fail, 2));
    }
}
