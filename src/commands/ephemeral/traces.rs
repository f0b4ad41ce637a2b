//! Which processes belong to a directory: those that run a program of it, stand in it, or were told of it.
use std::{fs, path::Path};

/// Their pids, our own excepted. A process of another user shows only to root, and only root can have started it.
pub fn of(home: &Path) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own && belongs(*pid, home))
        .collect()
}

fn belongs(pid: i32, home: &Path) -> bool {
    let inside =
        |link: &str| fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|to| to.starts_with(home));
    let told = || {
        let name = home.as_os_str().as_encoded_bytes();
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.windows(name.len().max(1)).any(|part| part == name))
    };
    // A zombie has none of the three and needs no killing.
    inside("exe") || inside("cwd") || told()
}

pub fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_known_by_where_it_stands_and_by_what_it_was_told() {
        let home = tempfile::tempdir().expect("a directory");
        let home = home.path().canonicalize().expect("a path");
        assert_eq!(of(&home), Vec::<i32>::new());
        let start = |command: &mut Command| command.arg("60").stdout(Stdio::null()).spawn().expect("runs");
        let mut children = [
            start(Command::new("sleep").current_dir(&home)),
            start(Command::new("sleep").env("TOLD", home.join("x"))),
            start(&mut Command::new("sleep")),
        ];
        let mut found = of(&home);
        found.sort_unstable();
        let mut ours: Vec<_> = children[..2].iter().map(|child| child.id().cast_signed()).collect();
        ours.sort_unstable();
        for child in &mut children {
            kill(child.id().cast_signed());
            child.wait().expect("reaped");
        }
        assert_eq!(found, ours);
        assert_eq!(of(&home), Vec::<i32>::new());
    }
}
