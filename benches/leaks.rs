//! How long a tree is searched for secrets, beside `grep -rIE` with the same prefixes, in turn, in the same run.
//! `leaks 100000` makes so many files of 3 KB; `leaks DIR` searches one that is there.
use agentctl::readiness::leaks::{Bounds, Searched, search};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const SIZE: usize = 3000;
const A_DIRECTORY: usize = 100;
/// Less than is searched for: no checksum, no entropy, and of names only what stands before a sign.
const PATTERN: &str = "gh[pousr]_[A-Za-z0-9]{36}|(AKIA|ASIA)[A-Z2-7]{16}|sk-(ant-|proj-)?[A-Za-z0-9_-]{32,}|\
    [sr]k_(live|test)_[A-Za-z0-9]{16,}|xox[bp]-[A-Za-z0-9-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY|\
    eyJ[A-Za-z0-9_-]{20,}\\.eyJ|(secret|token|password|api_key)[\"' ]*[:=]";

fn main() {
    let asked = env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let made = tempfile::tempdir().expect("a directory");
    let dir = match asked.as_deref().map(|asked| (asked.parse(), asked)) {
        Some((Ok(files), _)) => plant(made.path(), files),
        Some((Err(_), dir)) => PathBuf::from(dir),
        None => plant(made.path(), 100_000),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let (mut ours, mut greps) = (Vec::new(), Vec::new());
    let mut found = Searched::default();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let bounds = Bounds {
            until: began + Duration::from_secs(600),
            threads,
            honor_ignore_files: false,
            key: b"bench".to_vec(),
        };
        found = search(std::slice::from_ref(&dir), &bounds);
        ours.push(began.elapsed());
        let began = Instant::now();
        let grep = Command::new("grep").arg("-rIE").arg(PATTERN).arg(&dir).stdout(Stdio::null()).status();
        assert!(grep.expect("grep").code().is_some_and(|code| code < 2), "grep failed");
        greps.push(began.elapsed());
    }
    let (ours, greps) = (median(ours), median(greps));
    println!(
        "{} files, {:.0} MB, {threads} threads: {:.2} s, grep -rIE {:.2} s, ratio {:.2} (medians of {ROUNDS})",
        found.files,
        found.bytes as f64 / 1e6,
        ours.as_secs_f64(),
        greps.as_secs_f64(),
        ours.as_secs_f64() / greps.as_secs_f64()
    );
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// Source code, as agents' directories hold it.
fn plant(dir: &Path, files: usize) -> PathBuf {
    let text = include_str!("../src/config/load.rs").as_bytes();
    for file in 0..files {
        let below = dir.join(format!("{}", file / A_DIRECTORY));
        if file % A_DIRECTORY == 0 {
            fs::create_dir(&below).expect("made");
        }
        let from = file * 97 % (text.len() - SIZE);
        fs::write(below.join(format!("{file}.py")), &text[from..from + SIZE]).expect("written");
    }
    dir.to_owned()
}
