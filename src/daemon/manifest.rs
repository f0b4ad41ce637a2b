//! No agent changes policy by changing the manifest: one that an agent's user could write, or replace on the way to it,
//! is not read. Only root can give agents users of their own; without them there is nothing to tell apart here.
use crate::{
    agents::AgentUsers,
    config::Settings,
    domain::{Fault, FaultKind},
    readiness::way_to,
};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

const STICKY: u32 = 0o1000;

pub fn kept_from_agents(file: &Path, settings: &Settings) -> Result<(), Fault> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let users = AgentUsers::of(settings);
    let cannot =
        |why: String| Fault::new(FaultKind::Config, format!("cannot read {}: {why}", file.display()));
    let way = way_to(file).map_err(|error| cannot(error.to_string()))?;
    for step in way {
        let about = fs::symlink_metadata(&step).map_err(|error| cannot(error.to_string()))?;
        let about = Step { uid: about.uid(), gid: about.gid(), mode: about.mode(), link: about.is_symlink() };
        if let Some(how) = about.open_to(&users) {
            let step = step.display();
            return Err(cannot(format!("an agent could change it, for {step} {how}")).hint(format!(
                "chown root {step} && chmod go-w {step}; or keep the manifest in /etc/agentd"
            )));
        }
    }
    Ok(())
}

struct Step {
    uid: u32,
    gid: u32,
    mode: u32,
    link: bool,
}

impl Step {
    fn open_to(&self, users: &AgentUsers) -> Option<String> {
        let Self { uid, gid, mode, link } = self;
        if users.has_user(*uid) {
            return Some(format!("belongs to uid {uid}, which is an agent's"));
        }
        // Nobody replaces what is somebody else's in a sticky directory; and a link has no mode of its own.
        if *link || (mode & STICKY != 0 && mode & 0o170_000 == 0o040_000) {
            return None;
        }
        if mode & 0o002 != 0 {
            return Some(format!("may be written by everybody (mode {:04o})", mode & 0o7777));
        }
        let grouped = mode & 0o020 != 0 && users.has_group(*gid);
        grouped.then(|| format!("may be written by group {gid}, which is an agent's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, chown},
    };

    #[test]
    fn what_an_agent_could_change_is_told_from_what_it_could_not() {
        let agent = serde_json::json!({ "name": "a", "kind": "process", "user": "54321" });
        let settings = serde_json::from_value(serde_json::json!({ "agent": [agent] })).expect("settings");
        let users = AgentUsers::of(&settings);
        for (uid, gid, mode, open) in [
            (0, 0, 0o100_640, false),
            (1000, 1000, 0o100_664, false), // a person's
            (0, 0, 0o100_666, true),
            (54_321, 0, 0o100_600, true),
            (61_200, 0, 0o100_600, true),
            (0, 54_321, 0o100_660, true),
            (0, 61_200, 0o100_640, false),
            (0, 0, 0o041_777, false), // /tmp
            (0, 0, 0o040_777, true),
            (0, 0, 0o101_666, true), // the bit means nothing on a file
        ] {
            let step = Step { uid, gid, mode, link: false };
            assert_eq!(step.open_to(&users).is_some(), open, "{uid} {gid} {mode:o}");
        }
    }

    #[test]
    fn under_root_a_manifest_that_an_agent_could_write_or_replace_is_not_read() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("deep/agentd.toml");
        let deep = home.path().join("deep");
        fs::create_dir(&deep).expect("made");
        fs::write(&file, "schema = 1").expect("written");
        let read = || kept_from_agents(&file, &Settings::default());
        assert!(read().is_ok());
        if !rustix::process::geteuid().is_root() {
            return; // there are no agents' users, and nobody to give a file to
        }
        for path in [&file, &deep] {
            let mode = |bits| fs::set_permissions(path, Permissions::from_mode(bits)).expect("a mode");
            chown(path, Some(61_300), None).expect("given away");
            assert_eq!(read().expect_err("read").kind, FaultKind::Config);
            chown(path, Some(0), None).expect("taken back");
            mode(0o777);
            assert!(read().expect_err("read").message.contains("mode 0777"));
            mode(0o755);
            assert!(read().is_ok());
        }
    }
}
