//! Who may change what stands at a path: owner and mode of it, and of every directory and link that leads to it.
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// More links than the kernel itself would follow.
const LINKS: usize = 40;
const STICKY: u32 = 0o1000;

/// Whose hands a path may be in.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// Root, the daemon, and for an agent's own directory the agent.
    uids: BTreeSet<u32>,
    /// Groups of which nobody but those is a member.
    gids: BTreeSet<u32>,
}

impl Trusted {
    /// Root and this process, and the groups that are theirs alone.
    pub fn own() -> Self {
        let own = rustix::process::geteuid().as_raw();
        let uids = BTreeSet::from([0, own]);
        let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
        let gids = [0, rustix::process::getegid().as_raw()];
        let gids = gids.into_iter().filter(|gid| is_private(*gid, &uids, &users, &groups)).collect();
        Self { uids, gids }
    }

    /// The same, and this user.
    pub fn and(&self, uid: u32) -> Self {
        let mut more = self.clone();
        more.uids.insert(uid);
        more
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
    // Writing for a group of which we are the only member is writing for us.
    if trusted.gids.contains(&gid) && forbidden & 0o040 == 0 {
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

/// Is nobody but these users in the group? Unknown is no: the databases of users may be elsewhere, and then only a
/// group of whom somebody is known counts.
fn is_private(gid: u32, uids: &BTreeSet<u32>, users: &str, groups: &str) -> bool {
    let field = |line: &str, at: usize| line.split(':').nth(at).map(str::to_owned).unwrap_or_default();
    let uid_of = |name: &str| {
        users.lines().find(|line| field(line, 0) == name).and_then(|line| field(line, 2).parse::<u32>().ok())
    };
    let ours = |uid: Option<u32>| uid.is_some_and(|uid| uids.contains(&uid));
    let primary = users.lines().filter(|line| field(line, 3).parse() == Ok(gid));
    let mut primary = primary.map(|line| field(line, 2).parse::<u32>().ok()).peekable();
    if primary.peek().is_none() {
        return false;
    }
    let members = groups.lines().filter(|line| field(line, 2).parse() == Ok(gid)).map(|line| field(line, 3));
    let members: Vec<String> = members.collect();
    let listed =
        members.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty());
    primary.all(ours) && listed.map(uid_of).all(ours)
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

    #[test]
    fn a_group_is_ours_when_nobody_else_is_in_it() {
        let users = "root:x:0:0::/:\nana:x:1000:1000::/:\nbob:x:1001:100::/:\neve:x:1002:100::/:\n";
        let groups = "root:x:0:\nana:x:1000:\nusers:x:100:\ndocker:x:999:eve\nana2:x:1000:eve\n";
        let own = BTreeSet::from([0, 1000]);
        assert!(is_private(0, &own, users, groups));
        assert!(!is_private(1000, &own, users, groups), "eve is in it by another line");
        assert!(is_private(1000, &own, users, "ana:x:1000:\n"));
        assert!(!is_private(100, &own, users, groups), "a group of many");
        assert!(!is_private(4242, &own, users, groups), "a group of which nothing is known");
    }

    #[test]
    fn a_group_that_is_not_ours_may_not_write() {
        let dir = tempfile::tempdir().expect("a directory");
        chmod(dir.path(), 0o770);
        let mut trusted = Trusted::own();
        trusted.gids.clear();
        assert!(inspect_above(dir.path(), &trusted).is_err());
        trusted.gids.insert(rustix::process::getegid().as_raw());
        assert!(inspect_above(dir.path(), &trusted).is_ok());
        assert!(inspect(dir.path(), 0o077, &trusted).is_err(), "private is private");
        trusted.uids.clear();
        assert!(inspect_above(dir.path(), &trusted).is_err(), "another's");
    }
}
