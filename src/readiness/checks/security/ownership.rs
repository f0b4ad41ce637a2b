//! Who may change what stands at a path: owner and mode of it, and of every directory and link that leads to it.
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// More links than the kernel itself would follow.
const LINKS: usize = 40;
const STICKY: u32 = 0o1000;

/// Whose hands a path may be in.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// Root, the daemon, and for an agent's own directory the agent.
    uids: BTreeSet<u32>,
    /// What /etc/passwd and /etc/group say of who is in which group.
    users: Arc<str>,
    groups: Arc<str>,
}

impl Trusted {
    /// Root and this process.
    pub fn own() -> Self {
        let uids = BTreeSet::from([0, rustix::process::geteuid().as_raw()]);
        Self { uids, users: read("/etc/passwd").into(), groups: read("/etc/group").into() }
    }

    /// The same, and this user.
    pub fn and(&self, uid: u32) -> Self {
        let mut more = self.clone();
        more.uids.insert(uid);
        more
    }

    /// Is nobody else in the group? One that no database of this machine knows may have anybody in it.
    fn alone_in(&self, gid: u32) -> bool {
        let field = |line: &str, at: usize| {
            line.split(':').nth(at).map(str::trim).map(str::to_owned).unwrap_or_default()
        };
        let uid_of = |name: &str| {
            let line = self.users.lines().find(|line| field(line, 0) == name)?;
            field(line, 2).parse::<u32>().ok()
        };
        let ours = |uid: Option<u32>| uid.is_some_and(|uid| self.uids.contains(&uid));
        let primary = self.users.lines().filter(|line| field(line, 3).parse() == Ok(gid));
        let primary: Vec<_> = primary.map(|line| field(line, 2).parse::<u32>().ok()).collect();
        let lines: Vec<_> = self.groups.lines().filter(|line| field(line, 2).parse() == Ok(gid)).collect();
        let listed: Vec<_> = lines.iter().map(|line| field(line, 3)).collect();
        let mut listed = listed.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
        (!primary.is_empty() || !lines.is_empty())
            && primary.into_iter().all(ours)
            && listed.all(|name| ours(uid_of(name)))
    }
}

/// What leads to a path, each directory and link once, from the root down; the last is what stands at its end.
pub fn way_to(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = std::path::absolute(path)?;
    let mut way = vec![PathBuf::from("/")];
    let mut rest: Vec<PathBuf> = parts(&path);
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        let meta = fs::symlink_metadata(&next)?;
        if !way.contains(&next) {
            way.push(next.clone());
        }
        if meta.is_symlink() {
            links += 1;
            if links > LINKS {
                return Err(io::Error::other("its links turn in a circle"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        } else {
            here = next;
        }
    }
    // The end itself comes last, even if the way to it passed there before.
    way.retain(|step| *step != here);
    way.push(here);
    Ok(way)
}

/// May nobody else change what is here, and has it none of the forbidden bits? Err is the objection.
pub fn inspect(path: &Path, forbidden: u32, trusted: &Trusted) -> Result<String, String> {
    let meta =
        fs::symlink_metadata(path).map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
    let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
    let line = format!("{} has mode {mode:04o} and belongs to {uid}:{gid}", path.display());
    if !trusted.uids.contains(&uid) {
        let whose = trusted.uids.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
        return Err(format!("{line}, which is not uid {whose}"));
    }
    // A link has no mode of its own.
    let mut open = if meta.is_symlink() { 0 } else { mode & forbidden };
    // Writing for a group in which nobody else is means writing for us.
    if open & 0o020 != 0 && forbidden & 0o040 == 0 && trusted.alone_in(gid) {
        open &= !0o020;
    }
    if open == 0 { Ok(line) } else { Err(format!("{line}; it must not have {open:04o}")) }
}

/// Whoever can write a directory can swap what is in it, unless it is sticky.
pub fn inspect_above(path: &Path, trusted: &Trusted) -> Result<String, String> {
    let sticky = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.mode() & STICKY != 0);
    inspect(path, if sticky { 0 } else { 0o022 }, trusted)
}

/// A path's components, last first, as a stack.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn a_link_in_somebody_elses_hands_is_on_the_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = fs::canonicalize(dir.path()).expect("a path");
        for name in ["open", "closed"] {
            fs::create_dir(base.join(name)).expect("made");
        }
        fs::write(base.join("closed/file"), "").expect("written");
        symlink("../closed/file", base.join("open/link")).expect("linked");
        symlink("b", base.join("a")).expect("linked");
        symlink("a", base.join("b")).expect("linked");
        chmod(&base.join("open"), 0o777);
        let way = way_to(&base.join("open/link")).expect("a way");
        assert!(way.ends_with(&[base.join("closed"), base.join("closed/file")]), "{way:?}");
        let trusted = Trusted::own();
        let objections: Vec<_> = way.iter().filter_map(|step| inspect_above(step, &trusted).err()).collect();
        assert!(objections.iter().any(|line| line.contains("/open has mode 0777")), "{objections:?}");
        assert!(way_to(&base.join("a")).is_err(), "a circle");
        assert!(way_to(&base.join("none")).is_err());
        chmod(&base.join("open"), 0o1777);
        assert!(inspect_above(&base.join("open"), &trusted).is_ok(), "sticky");
    }

    fn trusted(uids: &[u32], users: &str, groups: &str) -> Trusted {
        Trusted { uids: uids.iter().copied().collect(), users: users.into(), groups: groups.into() }
    }

    #[test]
    fn a_group_is_ours_when_nobody_else_is_in_it() {
        let users = "root:x:0:0::/:\nana:x:1000:1000::/:\nbob:x:1001:100::/:\neve:x:1002:100::/:\n";
        let groups = "root:x:0:\nana:x:1000:\nstaff:x:50:\nusers:x:100:\ndocker:x:999:eve\n";
        let own = trusted(&[0, 1000], users, groups);
        for (gid, alone, why) in [
            (0, true, "root's"),
            (1000, true, "ana's own"),
            (50, true, "nobody is in it"),
            (100, false, "a group of many"),
            (999, false, "eve is in it by name"),
            (4242, false, "nothing is known of it"),
        ] {
            assert_eq!(own.alone_in(gid), alone, "{why}");
        }
        assert!(
            !trusted(&[0, 1000], users, "ana:x:1000:\nalso:x:1000:eve\n").alone_in(1000),
            "by another line"
        );
    }

    #[test]
    fn a_group_that_is_not_ours_may_not_write() {
        let dir = tempfile::tempdir().expect("a directory");
        chmod(dir.path(), 0o770);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let users = format!("us:x:{uid}:{gid}::/:\n");
        let shared = trusted(&[uid], &format!("{users}eve:x:4242:{gid}::/:\n"), "");
        assert!(inspect_above(dir.path(), &shared).is_err());
        let alone = trusted(&[uid], &users, "");
        assert!(inspect_above(dir.path(), &alone).is_ok());
        assert!(inspect(dir.path(), 0o077, &alone).is_err(), "private is private");
        assert!(inspect_above(dir.path(), &trusted(&[uid + 1], &users, "")).is_err(), "another's");
    }
}
