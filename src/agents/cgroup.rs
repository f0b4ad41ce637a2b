//! A cgroup (version 2) for each instance, where the machine lets us make one: membership that no fork escapes.
//! Nothing here is needed: without it process groups, descent and the marker do the same work with more effort.
use crate::domain::InstanceId;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The cgroup of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(pub PathBuf);

impl Cgroup {
    /// Every pid in it and below it. Empty when it is gone.
    pub fn members(&self) -> Vec<i32> {
        let mut found = Vec::new();
        collect(&self.0, &mut found, 0);
        found
    }

    /// Kills all of it at once, new forks included. False where the kernel (before 5.14) cannot.
    pub fn kill(&self) -> bool {
        fs::write(self.0.join("cgroup.kill"), "1").is_ok()
    }

    /// Removes it with what agents made below it. Fails while something lives in it.
    pub fn remove(&self) -> io::Result<()> {
        remove_tree(&self.0, 0)
    }

    /// A process that is born into it needs no more than this.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// True if the kernel has killed something in it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }
}

/// The directory that a fleet's cgroups live in.
#[derive(Clone, Debug)]
pub struct CgroupTree {
    base: PathBuf,
}

impl CgroupTree {
    /// Below our own cgroup; none where version 2 is not mounted or not writable for us.
    pub fn open(fleet_id: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let parent = own_directory(&mounts, &own)?;
        let base = parent.join(tree_name(fleet_id));
        match fs::create_dir(&base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        // Only where the parent has the controller to give; refused elsewhere, and then there is no memory.max.
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
        let _ = fs::write(base.join("cgroup.subtree_control"), "+memory");
        Some(Self { base })
    }

    /// Makes the cgroup of an instance, or takes the one that is there. `memory` in bytes.
    pub fn create(&self, instance: &InstanceId, memory: Option<u64>) -> Option<Cgroup> {
        let path = self.path(instance);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        let limit = path.join("memory.max");
        if limit.exists() {
            let text = memory.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
            let _ = fs::write(limit, text);
        }
        Some(Cgroup(path))
    }

    /// The cgroup of an instance if it is there: what an adopted instance is found by.
    pub fn existing(&self, instance: &InstanceId) -> Option<Cgroup> {
        Some(Cgroup(self.path(instance))).filter(|cgroup| cgroup.0.is_dir())
    }

    /// Every pid in any of them.
    pub fn members(&self) -> Vec<i32> {
        Cgroup(self.base.clone()).members()
    }

    /// Removes what is empty, and itself when nothing is left.
    pub fn remove_empty(&self) {
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = remove_tree(&entry.path(), 0);
            }
        }
        let _ = fs::remove_dir(&self.base);
    }

    fn path(&self, instance: &InstanceId) -> PathBuf {
        self.base.join(instance.to_string().replace('/', ":"))
    }
}

/// The instance of this fleet whose cgroup the process is in. The kernel says so: a process cannot forge it.
pub fn owner_of(fleet_id: &str, pid: i32) -> Option<InstanceId> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    owner_in(&text, fleet_id)
}

/// Agents may nest cgroups; nobody nests them deeper in earnest.
const DEEPEST: u32 = 8;

fn collect(directory: &Path, found: &mut Vec<i32>, depth: u32) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 0));
    if depth == DEEPEST {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found, depth + 1);
        }
    }
}

fn remove_tree(directory: &Path, depth: u32) -> io::Result<()> {
    if depth < DEEPEST {
        for entry in fs::read_dir(directory)?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&entry.path(), depth + 1)?;
            }
        }
    }
    fs::remove_dir(directory)
}

fn tree_name(fleet_id: &str) -> String {
    format!("agentd-{}", fleet_id.chars().take(12).collect::<String>())
}

/// Our own directory in the version 2 hierarchy: its mount point, plus our path below the mount's root.
fn own_directory(mountinfo: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, mount) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(mount).join(below))
    })
}

fn owner_in(text: &str, fleet_id: &str) -> Option<InstanceId> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let tree = tree_name(fleet_id);
    let mut parts = path.split('/').skip_while(|part| *part != tree).skip(1);
    let (agent, index) = parts.next()?.rsplit_once(':')?;
    Some(InstanceId::new(agent.parse().ok()?, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 10 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        34 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_second_version_is_found_in_a_hybrid_and_below_a_container_root() {
        let own = "4:memory:/x\n0::/system.slice/agentd.service\n";
        assert_eq!(
            own_directory(HYBRID, own),
            Some("/sys/fs/cgroup/unified/system.slice/agentd.service".into())
        );
        let bound = "1 2 0:3 /box /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(own_directory(bound, "0::/box/a\n"), Some("/sys/fs/cgroup/a".into()));
        assert_eq!(own_directory(bound, "0::/elsewhere\n"), None, "outside what is mounted");
        assert_eq!(own_directory("34 31 0:31 / /m rw - cgroup cgroup rw,memory\n", own), None);
    }

    #[test]
    fn only_our_own_tree_names_an_owner() {
        let line = "4:memory:/x\n0::/a/agentd-0123456789ab/orders:3/inner\n";
        assert_eq!(owner_in(line, "0123456789abcdef").map(|id| id.to_string()), Some("orders/3".to_owned()));
        assert_eq!(owner_in(line, "ffff456789abcdef"), None);
        assert_eq!(owner_in("0::/\n", "0123456789abcdef"), None);
    }

    /// Where this machine gives no cgroups the rest of the room must do without, so there is nothing to show.
    #[test]
    fn a_cgroup_is_made_holds_nothing_and_goes_where_the_machine_allows_it() {
        let Some(tree) = CgroupTree::open(&format!("{:012}", std::process::id())) else { return };
        let id: InstanceId = "orders/3".parse().expect("an instance");
        let cgroup = tree.create(&id, Some(64 << 20)).expect("a cgroup below our own");
        assert_eq!(tree.existing(&id), Some(cgroup.clone()));
        assert_eq!(cgroup.members(), Vec::<i32>::new());
        cgroup.remove().expect("empty");
        tree.remove_empty();
        assert_eq!(tree.existing(&id), None);
    }
}
