//! What git says of a directory: commit, branch, and whether it is as it was committed. Run as whoever owns the
//! directory, since a repository may name programs that git runs; what it says is data, and what it does not is said.
use super::listing::shown;
use crate::domain::{Revision, one_line};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

const DEADLINE: Duration = Duration::from_secs(10);
/// More is read of nobody: that something was changed is known by then.
const LONGEST: u64 = 64 << 10;

pub async fn revision(directory: PathBuf) -> Revision {
    let said = timeout(DEADLINE, ask(&directory)).await;
    match said {
        Ok(Ok(text)) => read(&text),
        Ok(Err(why)) => Revision::Unknown(why),
        Err(_late) => Revision::Unknown(format!("git did not answer within {} s", DEADLINE.as_secs())),
    }
}

async fn ask(directory: &Path) -> Result<String, String> {
    let about = fs::metadata(directory).map_err(|error| format!("{}: {error}", shown(directory)))?;
    let mut git = Command::new("git");
    // No `safe.directory`: git refuses a repository that is somebody else's than the user it runs as, and rightly, for its
    // configuration names filters that git would run.
    git.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C"]).arg(directory);
    git.args(["status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]);
    git.env_clear();
    git.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    git.envs([("LC_ALL", "C"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_TERMINAL_PROMPT", "0"), ("HOME", "/")]);
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        git.uid(about.uid()).gid(about.gid());
    }
    let mut child = git.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "git is not installed".to_owned(),
        _ => format!("git cannot be run: {error}"),
    })?;
    let (mut text, mut complaint) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (Some(out), Some(err)) = (out, err) else { return Err("git cannot be heard".into()) };
    let (mut out, mut err) = (out.take(LONGEST), err.take(LONGEST));
    let read = tokio::try_join!(out.read_to_end(&mut text), err.read_to_end(&mut complaint));
    read.map_err(|error| format!("git cannot be heard: {error}"))?;
    // Cut off in the middle, it will not end well; what was read is enough.
    let whole = (text.len() as u64) < LONGEST;
    if whole && !child.wait().await.is_ok_and(|status| status.success()) {
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint = complaint.lines().next().unwrap_or("it failed").trim();
        if complaint.contains("not a git repository") {
            return Err("it is in no git repository".into());
        }
        let complaint: String = complaint.chars().take(200).collect();
        return Err(format!("git: {}", one_line(&complaint)));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Of `git status --porcelain=v2 --branch`.
fn read(text: &str) -> Revision {
    let header =
        |name: &str| text.lines().find_map(|line| line.strip_prefix("# branch.")?.strip_prefix(name));
    let hexadecimal = |id: &&str| matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit());
    match (header("oid "), header("head ")) {
        (Some(oid), head) if oid == "(initial)" || hexadecimal(&oid) => Revision::Git {
            commit: Some(oid).filter(hexadecimal).map(str::to_owned),
            branch: head.filter(|name| *name != "(detached)").map(|name| name.chars().take(200).collect()),
            dirty: text.lines().any(|line| !line.is_empty() && !line.starts_with('#')),
        },
        _ => Revision::Unknown("what git said is not understood".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_read_and_nothing_is_guessed() {
        let oid = "0123456789012345678901234567890123456789";
        let clean = format!("# branch.oid {oid}\n# branch.head main\n");
        let of = |commit: Option<&str>, branch: Option<&str>, dirty| Revision::Git {
            commit: commit.map(str::to_owned),
            branch: branch.map(str::to_owned),
            dirty,
        };
        assert_eq!(read(&clean), of(Some(oid), Some("main"), false));
        assert_eq!(read(&format!("{clean}? new.txt\n")), of(Some(oid), Some("main"), true));
        assert_eq!(read("# branch.oid (initial)\n# branch.head main\n"), of(None, Some("main"), false));
        let detached = format!("# branch.oid {oid}\n# branch.head (detached)\n");
        assert_eq!(read(&detached), of(Some(oid), None, false));
        for odd in ["", "# branch.oid x\n# branch.head main\n", "fatal: what"] {
            assert!(matches!(read(odd), Revision::Unknown(_)), "{odd}");
        }
    }

    #[tokio::test]
    async fn a_directory_outside_of_git_and_one_that_is_gone_are_told_as_such() {
        let home = tempfile::tempdir().expect("a directory");
        let Revision::Unknown(why) = revision(home.path().to_owned()).await else { panic!("known") };
        assert!(why.contains("no git repository") || why.contains("not installed"), "{why}");
        let Revision::Unknown(why) = revision(home.path().join("gone")).await else { panic!("known") };
        assert!(why.contains("gone"), "{why}");
    }
}
