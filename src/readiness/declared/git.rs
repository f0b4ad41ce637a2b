//! `git`: asks the real git which branch a working tree is on, and whether anything in it is not committed.
use super::{
    kind::{Look, problem},
    scene::Scene,
};
use crate::{config::OptionProblem, domain::one_line, readiness::Found};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

/// No tree that is fit to be deployed says more.
const MOST_OUTPUT: u64 = 1 << 20;
/// How many changed files are told one by one.
const MOST_TOLD: usize = 10;

/// Asks git about a working tree.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GitCheckOptions")]
pub struct Options {
    /// The working tree, absolute.
    repository: PathBuf,
    /// The branches that may be deployed from; empty: any.
    #[serde(default)]
    branches: Vec<String>,
    /// Nothing in it may be changed, staged or untracked.
    #[serde(default = "yes")]
    clean: bool,
    /// No commit may be missing from its upstream, or from it.
    #[serde(default)]
    in_step: bool,
}

fn yes() -> bool {
    true
}

pub struct Git(Options);

/// What `git status --porcelain=v2 --branch -z` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    commit: String,
    /// None: detached.
    branch: Option<String>,
    /// Ahead of its upstream and behind it; none without one.
    steps: Option<(u64, u64)>,
    changed: Vec<String>,
}

impl Look for Git {
    const NAME: &'static str = "git";
    const ABOUT: &'static str =
        "asks git which branch a working tree is on and whether all of it is committed";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        if options.repository.is_absolute() {
            Ok(Self(options))
        } else {
            Err(vec![problem("/repository", "is not absolute", Some("write it like /srv/shop"))])
        }
    }

    fn resource(&self) -> String {
        format!("repository/{}", self.0.repository.display())
    }

    async fn look(&self, _: &Scene<'_>) -> Found {
        match self.status().await {
            Ok(status) => self.judge(&status),
            Err(why) => Found::error(why),
        }
    }
}

impl Git {
    /// Takes no lock in it, and runs neither its hooks nor its file-system monitor. Git itself refuses a tree of another
    /// owner.
    async fn status(&self) -> Result<Status, String> {
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.0.repository);
        git.args(["--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
        git.args(["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal"]);
        git.args(["--ignore-submodules=none"]);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                git.env_remove(name);
            }
        }
        git.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").process_group(0).kill_on_drop(true);
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn().map_err(|error| format!("cannot run git: {error}"))?;
        let (out, said) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
        let ended = child.wait().await.map_err(|error| format!("cannot wait for git: {error}"))?;
        if !ended.success() {
            let said: String = one_line(said.lines().next().unwrap_or_default()).chars().take(200).collect();
            return Err(format!("git could not say: {said}"));
        }
        if out.len() as u64 >= MOST_OUTPUT {
            return Err("git says more than can be read".into());
        }
        Ok(parse(&out))
    }

    fn judge(&self, status: &Status) -> Found {
        let Options { branches, clean, in_step, .. } = &self.0;
        let branch = status.branch.as_deref().map(one_line);
        let at = branch.clone().unwrap_or_else(|| "no branch".into());
        let commit: String = one_line(&status.commit).chars().take(12).collect();
        let known = branches.is_empty() || status.branch.as_ref().is_some_and(|now| branches.contains(now));
        let found = match status.steps {
            _ if !known => {
                Found::fail(format!("the tree is on {at}, and {} may be deployed", branches.join(", ")))
            }
            _ if *clean && !status.changed.is_empty() => {
                Found::fail(format!("{} files of {at} are not committed", status.changed.len()))
            }
            None if *in_step => Found::error(format!("{at} has no upstream to be in step with")),
            Some((ahead, behind)) if *in_step && (ahead, behind) != (0, 0) => {
                Found::fail(format!("{at} is {ahead} commits ahead of its upstream and {behind} behind"))
            }
            _ => Found::pass(format!("{at} at {commit}, {} files changed", status.changed.len())),
        };
        found.seen(format!("commit {commit}")).all_seen(
            status.changed.iter().take(MOST_TOLD).map(|file| {
                format!("not committed: {}", one_line(file).chars().take(200).collect::<String>())
            }),
        )
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What it said until it broke off is all that there is.
        let _ = from.take(MOST_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(text: &str) -> Status {
    let mut status = Status::default();
    let mut renamed = false;
    for line in text.split('\0').filter(|line| !line.is_empty()) {
        // After a rename stands the name from which.
        if std::mem::take(&mut renamed) {
            continue;
        }
        if let Some(head) = line.strip_prefix("# branch.") {
            match head.split_once(' ') {
                Some(("oid", commit)) => status.commit = commit.into(),
                Some(("head", "(detached)")) => status.branch = None,
                Some(("head", branch)) => status.branch = Some(branch.into()),
                Some(("ab", steps)) => {
                    let mut steps =
                        steps.split(' ').map(|step| step[1.min(step.len())..].parse().unwrap_or(0));
                    status.steps = Some((steps.next().unwrap_or(0), steps.next().unwrap_or(0)));
                }
                _ => {}
            }
            continue;
        }
        // Kind, then so many fields, then the name, which may hold blanks.
        let fields = match line.as_bytes().first() {
            Some(b'1') => 8,
            Some(b'2') => 9,
            Some(b'u') => 10,
            Some(b'?') => 1,
            _ => continue,
        };
        renamed = line.starts_with('2');
        status.changed.extend(line.splitn(fields + 1, ' ').nth(fields).map(str::to_owned));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::{
        super::scene::{refused, tried},
        *,
    };
    use crate::domain::{FleetSnapshot, Outcome};
    use proptest::prelude::*;
    use serde_json::json;
    use std::{fs, path::Path};

    fn git(home: &Path, words: &[&str]) {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(home).args(["-c", "user.name=t", "-c", "user.email=t@shop.example"]).args(words);
        let ran = git.env_remove("GIT_DIR").output().expect("git runs");
        assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    #[tokio::test]
    async fn the_branch_and_every_change_are_seen_and_no_repository_is_no_answer() {
        let fleet = FleetSnapshot::default();
        let home = tempfile::tempdir().expect("a directory");
        let with = |more: serde_json::Value| {
            let mut options = json!({"repository": home.path(), "branches": ["main"]});
            options.as_object_mut().expect("a table").extend(more.as_object().cloned().expect("a table"));
            options
        };
        let none = tried("git", with(json!({})), &fleet).await;
        assert!(none.outcome == Outcome::Error && none.summary.contains("not a git repository"), "{none:?}");
        git(home.path(), &["init", "-q", "-b", "main"]);
        fs::write(home.path().join("a"), "1").expect("written");
        git(home.path(), &["add", "a"]);
        git(home.path(), &["commit", "-q", "-m", "one"]);
        let clean = tried("git", with(json!({})), &fleet).await;
        assert!(clean.outcome == Outcome::Pass && clean.summary.starts_with("main at "), "{clean:?}");
        assert_eq!(tried("git", with(json!({"in_step": true})), &fleet).await.outcome, Outcome::Error);

        fs::write(home.path().join("b \x1b[2J\nc"), "1").expect("written");
        fs::write(home.path().join("a"), "2").expect("written");
        let dirty = tried("git", with(json!({})), &fleet).await;
        assert!(dirty.outcome == Outcome::Fail && dirty.summary.contains("2 files"), "{dirty:?}");
        assert!(!dirty.evidence.concat().contains(char::is_control), "{dirty:?}");
        assert_eq!(tried("git", with(json!({"clean": false})), &fleet).await.outcome, Outcome::Pass);

        git(home.path(), &["checkout", "-q", "-b", "feature"]);
        let elsewhere = tried("git", with(json!({"clean": false})), &fleet).await;
        assert!(
            elsewhere.outcome == Outcome::Fail && elsewhere.summary.contains("on feature"),
            "{elsewhere:?}"
        );
        git(home.path(), &["checkout", "-q", "--detach"]);
        let detached = tried("git", with(json!({"clean": false})), &fleet).await;
        assert!(detached.outcome == Outcome::Fail && detached.summary.contains("no branch"), "{detached:?}");
    }

    #[tokio::test]
    async fn what_the_repository_says_to_run_is_not_run() {
        let home = tempfile::tempdir().expect("a directory");
        git(home.path(), &["init", "-q", "-b", "main"]);
        let trap = format!("touch {}/sprung; false", home.path().display());
        git(home.path(), &["config", "core.fsmonitor", &trap]);
        let _ = tried("git", json!({"repository": home.path()}), &FleetSnapshot::default()).await;
        assert!(!home.path().join("sprung").exists(), "a program of the repository was run");
    }

    #[test]
    fn what_git_says_is_read_field_by_field() {
        let said = "# branch.oid 1234\0# branch.head main\0# branch.upstream origin/main\0# branch.ab +2 -3\0\
            1 .M N... 100644 100644 100644 a b a file\x002 R. N... 100644 100644 100644 a b R100 new name\0old name\0\
            u UU N... 1 2 3 4 a b c both\0? new\0! ignored\0";
        let status = parse(said);
        assert_eq!((status.branch.as_deref(), status.steps), (Some("main"), Some((2, 3))));
        assert_eq!(status.changed, ["a file", "new name", "both", "new"]);
        assert_eq!(parse("# branch.oid (initial)\0# branch.head (detached)\0").branch, None);
        assert_eq!(refused("git", json!({"repository": "shop"})), ["/repository"]);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_read(text in any::<String>(), lines in proptest::collection::vec("[12u?!# ].{0,40}", 0..6)) {
            parse(&text);
            parse(&lines.join("\0"));
        }
    }
}
