//! Whose code an instance is started from: the copy in the release that runs, or the agent's own directory while none
//! does. Resolved once a start, so that an instance keeps the release it was started from.
use crate::{
    config::AgentSettings,
    domain::{Fault, FaultKind, ReleaseId},
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

/// The link beside the releases that says which of them runs.
pub const CURRENT: &str = "current";

/// What `{artifact}` stands for in one start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    pub dir: PathBuf,
    pub release: Option<ReleaseId>,
}

/// The release that was switched to last; none before the first.
pub fn current_release(releases: &Path) -> Result<Option<ReleaseId>, Fault> {
    let link = releases.join(CURRENT);
    let cannot = |why: String| {
        let message = format!("cannot tell which release runs: {} {why}", link.display());
        Fault::new(FaultKind::Config, message).hint(
            "agentd alone makes that link; `ls -l` shows what it is, `agentctl release list` what there is",
        )
    };
    match fs::read_link(&link) {
        Ok(target) => {
            let id = target.to_str().and_then(|name| name.parse().ok());
            id.map(Some)
                .ok_or_else(|| cannot(format!("leads to {}", target.display().to_string().escape_debug())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(cannot("is no link".into())),
        Err(error) => Err(cannot(format!("cannot be read: {error}"))),
    }
}

/// None for an agent without an artifact; of `pinned`, or of the release that runs. What is in a release may be read by the agent's user and nobody else's.
pub fn code_of(
    agent: &AgentSettings,
    releases: &Path,
    user: Option<(u32, u32)>,
    pinned: Option<ReleaseId>,
) -> Result<Option<Code>, Fault> {
    let Some(source) = &agent.artifact else { return Ok(None) };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let release = match pinned {
        Some(release) => Some(release),
        None => current_release(releases)?,
    };
    let Some(release) = release else {
        return Ok(Some(Code { dir: absolute(source), release: None }));
    };
    // By the release's own name and not through the link: that one may lead elsewhere a moment later.
    let dir = absolute(&releases.join(release.to_string()).join(agent.name.as_str()));
    let about = fs::symlink_metadata(&dir).ok().filter(fs::Metadata::is_dir).ok_or_else(|| {
        let name = &agent.name;
        Fault::new(
            FaultKind::Config,
            format!("cannot start {name}: its artifact is not in release {release}"),
        )
        .hint("`agentctl release create` records one that has it; then deploy that")
    })?;
    if let Some((_, gid)) = user
        && about.gid() != gid
    {
        chown(&dir, None, Some(gid)).map_err(|error| {
            Fault::internal(format!("cannot let {} read {}: {error}", agent.name, dir.display()))
        })?;
    }
    Ok(Some(Code { dir, release: Some(release) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn agent(artifact: Option<&Path>) -> AgentSettings {
        let agent = serde_json::json!({ "name": "orders", "kind": "process", "artifact": artifact });
        serde_json::from_value(agent).expect("settings")
    }

    #[test]
    fn the_copy_is_used_once_a_release_runs_and_the_directory_itself_before() {
        let home = tempfile::tempdir().expect("a directory");
        let (releases, source) = (home.path().join("releases"), home.path().join("orders"));
        let with = agent(Some(&source));
        assert_eq!(code_of(&agent(None), &releases, None, None).expect("asked"), None);
        let before = code_of(&with, &releases, None, None).expect("resolved");
        assert_eq!(before, Some(Code { dir: source, release: None }));

        fs::create_dir_all(releases.join("r-3/orders")).expect("made");
        symlink("r-3", releases.join(CURRENT)).expect("linked");
        let after = code_of(&with, &releases, None, None).expect("resolved").expect("code");
        assert_eq!((after.dir, after.release), (releases.join("r-3/orders"), Some(ReleaseId(3))));
        // A candidate runs its own release, and no other where that is not there.
        fs::create_dir_all(releases.join("r-4/orders")).expect("made");
        let pinned = |release| code_of(&with, &releases, None, Some(ReleaseId(release)));
        let code = pinned(4).expect("resolved").expect("code");
        assert_eq!((code.dir, code.release), (releases.join("r-4/orders"), Some(ReleaseId(4))));
        assert!(pinned(5).expect_err("started").message.contains("not in release r-5"));
        // An agent that the release knows nothing of is not started from somewhere else.
        let stranger = AgentSettings { name: "billing".parse().expect("a name"), ..with };
        let fault = code_of(&stranger, &releases, None, None).expect_err("started");
        assert!(fault.message.contains("not in release r-3"), "{fault}");
    }

    #[test]
    fn a_link_that_agentd_would_not_make_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let link = home.path().join(CURRENT);
        assert_eq!(current_release(home.path()).expect("asked"), None);
        for target in ["/etc", "r-0", "r-3/../../etc", "."] {
            symlink(target, &link).expect("linked");
            assert!(current_release(home.path()).is_err(), "{target}");
            fs::remove_file(&link).expect("removed");
        }
        fs::create_dir(&link).expect("made");
        assert!(current_release(home.path()).expect_err("taken").message.contains("is no link"));
    }
}
