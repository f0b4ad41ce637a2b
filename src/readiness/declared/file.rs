//! `file`: is it there, closed enough, whose it should be, fresh, of a sensible size, and does it hold what it must?
//! What it holds is compared and never shown.
use super::{
    kind::{Look, problem},
    scene::Scene,
};
use crate::{
    auth::Names,
    config::OptionProblem,
    domain::{ByteSize, Fault, Outcome, Period},
    health::TextWant,
    readiness::{Found, Proof, proof::blocking},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How much of a file is looked through.
const MOST_CONTENT: u64 = 4 << 20;

/// Looks at a file, and never shows what it holds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileCheckOptions")]
pub struct Options {
    /// The file or directory; absolute.
    path: PathBuf,
    /// It must not exist.
    #[serde(default)]
    absent: bool,
    /// The most that its mode may allow, in octal: "0640".
    #[serde(default)]
    mode: Option<String>,
    /// The user that it must belong to, by name or number.
    #[serde(default)]
    owner: Option<String>,
    /// Text that it must hold within its first 4 MiB, or `/regex/`.
    #[serde(default)]
    content: Option<String>,
    /// How long ago it may have been written.
    #[serde(default)]
    max_age: Option<Period>,
    #[serde(default)]
    min_size: Option<ByteSize>,
    #[serde(default)]
    max_size: Option<ByteSize>,
}

pub struct File {
    wanted: Arc<Wanted>,
}

struct Wanted {
    path: PathBuf,
    absent: bool,
    mode: Option<u32>,
    owner: Option<String>,
    content: Option<TextWant>,
    max_age: Option<Period>,
    min_size: Option<ByteSize>,
    max_size: Option<ByteSize>,
}

impl Look for File {
    const NAME: &'static str = "file";
    const ABOUT: &'static str =
        "looks at a file's mode, owner, age, size and content, and never shows what it holds";
    type Options = Options;

    fn compile(options: Options) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        if !options.path.is_absolute() {
            problems.push(problem("/path", "is not absolute, and the daemon may run anywhere", None));
        }
        let mode =
            options.mode.as_deref().map(|text| u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777));
        if mode == Some(None) {
            problems.push(problem("/mode", "is no mode", Some("write it in octal, like \"0640\"")));
        }
        let content = options.content.as_deref().map(TextWant::parse).transpose();
        let content =
            content.map_err(|why| problems.push(problem("/content", why, None))).unwrap_or_default();
        let Options { path, absent, owner, max_age, min_size, max_size, .. } = options;
        let any = mode.is_some() || owner.is_some() || content.is_some() || max_age.is_some();
        if absent && (any || min_size.is_some() || max_size.is_some()) {
            problems.push(problem("/absent", "what must not be there has no other property", None));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mode = mode.flatten();
        let wanted = Wanted { path, absent, mode, owner, content, max_age, min_size, max_size };
        Ok(Self { wanted: Arc::new(wanted) })
    }

    fn resource(&self) -> String {
        format!("file/{}", self.wanted.path.display())
    }

    async fn look(&self, scene: &Scene<'_>) -> Found {
        let (wanted, now) = (Arc::clone(&self.wanted), scene.judged_at);
        blocking(move || Ok(wanted.look(now))).await.unwrap_or_else(Found::from)
    }
}

impl Wanted {
    fn look(&self, now: Timestamp) -> Found {
        let path = self.path.display();
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) && self.absent => {
                return Found::pass(format!("{path} does not exist"));
            }
            Err(error) if is_absent(&error) => return Found::fail(format!("{path} does not exist")),
            Err(error) => return Found::error(format!("cannot look at {path}: {error}")),
        };
        if self.absent {
            return Found::fail(format!("{path} exists, and must not"));
        }
        let seen = self.judge(&metadata, now).unwrap_or_else(Found::from);
        if seen.outcome != Outcome::Fail {
            return seen;
        }
        let print = format!("mode {:04o}, uid {}", metadata.mode() & 0o7777, metadata.uid());
        let what = seen.summary.clone();
        seen.about(format!("file/{path}"), format!("{print}: {what}"))
    }

    fn judge(&self, metadata: &fs::Metadata, now: Timestamp) -> Result<Found, Fault> {
        let mut proof = Proof::default();
        let mode = metadata.mode() & 0o7777;
        match self.mode {
            Some(most) => proof
                .holds(mode & !most == 0, format!("its mode is {mode:04o}, at most {most:04o} is wanted")),
            None => proof.holds(true, format!("it exists, mode {mode:04o}")),
        };
        if let Some(owner) = &self.owner {
            let names = Names::of_this_machine().unwrap_or_default();
            let wanted = names.user(owner).ok_or_else(|| {
                Fault::internal(format!("cannot tell who `{}` is: no such user here", owner.escape_debug()))
            })?;
            let uid = metadata.uid();
            proof.holds(uid == wanted, format!("it belongs to uid {uid}, wanted {owner} (uid {wanted})"));
        }
        let size = metadata.len();
        if let Some(least) = self.min_size {
            proof.holds(size >= least.0, format!("it has {size} bytes, at least {least} is wanted"));
        }
        if let Some(most) = self.max_size {
            proof.holds(size <= most.0, format!("it has {size} bytes, at most {most} is wanted"));
        }
        if let Some(most) = self.max_age {
            let written = Timestamp::from_second(metadata.mtime())
                .map_err(|error| Fault::internal(format!("cannot read its time: {error}")))?;
            let limit = SignedDuration::try_from(most.0).unwrap_or(SignedDuration::MAX);
            let fresh = now.duration_since(written) <= limit;
            proof.holds(fresh, format!("it was written at {written}, at most {most} ago is wanted"));
        }
        if let Some(want) = &self.content {
            let (held, all) = self.holds(metadata, want)?;
            let within = if all { "" } else { " within its first 4 MiB" };
            proof.holds(held, format!("it {} {want}{within}", if held { "holds" } else { "lacks" }));
        }
        Ok(proof.judge(format!("{} is as wanted", self.path.display())))
    }

    /// Whether the content is as wanted, and whether all of it was looked at.
    fn holds(&self, metadata: &fs::Metadata, want: &TextWant) -> Result<(bool, bool), Fault> {
        // Opening a FIFO or a device could block for good.
        if !metadata.is_file() {
            return Err(Fault::internal("cannot look for content: it is not a file"));
        }
        let content = read(&self.path)
            .map_err(|error| Fault::internal(format!("cannot read {}: {error}", self.path.display())))?;
        Ok((want.fits(&String::from_utf8_lossy(&content)), content.len() as u64 >= metadata.len()))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(MOST_CONTENT).read_to_end(&mut content)?;
    Ok(content)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::super::scene::{refused, tried};
    use super::*;
    use crate::domain::FleetSnapshot;
    use serde_json::{Value, json};
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn each_property_is_held_against_the_file_and_its_content_is_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.conf");
        fs::write(&path, "mode = live\npassword = hunter2\n").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        let own = fs::metadata(&path).expect("it exists").uid();
        let fleet = FleetSnapshot::default();
        let with = |key: &str, want: Value| json!({"path": path, key: want});
        for (options, outcome, told) in [
            (json!({"path": dir.path().join("none")}), Outcome::Fail, "does not exist"),
            (json!({"path": path.join("below")}), Outcome::Fail, "does not exist"),
            (with("absent", json!(true)), Outcome::Fail, "must not"),
            (with("mode", json!("0600")), Outcome::Fail, "mode is 0640, at most 0600"),
            (with("owner", json!((own + 1).to_string())), Outcome::Fail, "belongs to uid"),
            (with("owner", json!("no-such-user-here")), Outcome::Error, "no such user"),
            (with("content", json!("mode = test")), Outcome::Fail, "lacks"),
            (with("content", json!("/^password = [0-9]+$/")), Outcome::Fail, "lacks"),
            (with("min_size", json!("1KiB")), Outcome::Fail, "at least"),
            (with("max_size", json!("3B")), Outcome::Fail, "at most"),
            (json!({"path": dir.path(), "content": "x"}), Outcome::Error, "not a file"),
            (json!({"path": dir.path().join("none"), "absent": true}), Outcome::Pass, "does not exist"),
            (with("mode", json!("0644")), Outcome::Pass, "as wanted"),
            (with("owner", json!(own.to_string())), Outcome::Pass, "as wanted"),
            (with("content", json!("/(?m)^mode = live$/")), Outcome::Pass, "as wanted"),
            (with("max_age", json!("1h")), Outcome::Pass, "as wanted"),
        ] {
            let found = tried("file", options.clone(), &fleet).await;
            assert!(found.outcome == outcome && found.summary.contains(told), "{options}: {found:?}");
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn age_is_judged_for_the_day_that_was_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("backup");
        fs::write(&path, "x").expect("a file");
        let written = json!({"path": path, "max_age": "1d"});
        let file = File::compile(serde_json::from_value(written).expect("options")).expect("a check");
        let now = Timestamp::now();
        let at = |hours| file.wanted.look(now + SignedDuration::from_hours(hours));
        assert_eq!((at(0).outcome, at(23).outcome), (Outcome::Pass, Outcome::Pass));
        let late = at(25);
        assert_eq!(late.outcome, Outcome::Fail);
        assert_eq!(late.affected[0].resource, format!("file/{}", path.display()));
    }

    #[tokio::test]
    async fn a_fifo_does_not_hold_the_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let found = tried("file", json!({"path": path, "content": "x"}), &FleetSnapshot::default()).await;
        assert!(found.outcome == Outcome::Error && found.summary.contains("not a file"), "{found:?}");
    }

    #[test]
    fn what_cannot_be_meant_is_a_problem() {
        assert_eq!(
            refused("file", json!({"path": "a", "mode": "rw", "content": "/(/"})),
            ["/path", "/mode", "/content"]
        );
        assert_eq!(refused("file", json!({"path": "/a", "absent": true, "mode": "0600"})), ["/absent"]);
    }
}
