//! install.sh into a directory of its own: twice the same, and gone without a trace.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// With the binaries of this test run, so that nothing is built.
fn install(arguments: &[&str]) -> Output {
    let binaries = Path::new(env!("CARGO_BIN_EXE_agentctl")).parent().expect("a directory");
    let mut command = Command::new("sh");
    command.arg(repository().join("install.sh")).arg("--binaries").arg(binaries).args(arguments);
    command.output().expect("sh runs")
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Every file below, by its path from there, with its mode and size.
fn files(top: &Path) -> BTreeMap<PathBuf, (u32, u64)> {
    fn walk(place: &Path, top: &Path, found: &mut BTreeMap<PathBuf, (u32, u64)>) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, top, found);
            } else {
                let is = entry.metadata().expect("metadata");
                let below = path.strip_prefix(top).expect("below").to_owned();
                found.insert(below, (is.permissions().mode() & 0o777, is.len()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(top, top, &mut found);
    found
}

#[test]
fn installed_twice_is_installed_once_and_uninstalled_is_gone() {
    let scratch = tempfile::tempdir().expect("a directory");
    let prefix = scratch.path().join("opt/agentctl");
    let prefix_text = prefix.to_str().expect("text");
    succeeds(&install(&["--prefix", prefix_text]));
    let first = files(&prefix);
    for (file, mode) in [
        ("bin/agentctl", 0o755),
        ("bin/agentd", 0o755),
        ("share/bash-completion/completions/agentctl", 0o644),
        ("share/zsh/site-functions/_agentctl", 0o644),
        ("share/fish/vendor_completions.d/agentctl.fish", 0o644),
        ("share/man/man1/agentctl-validate.1", 0o644),
        ("share/man/man8/agentd.8", 0o644),
        ("share/man/man5/agentd.toml.5", 0o644),
        ("lib/systemd/system/agentd.service", 0o644),
        ("share/systemd/user/agentd.service", 0o644),
        ("share/doc/agentctl/agentd.example.toml", 0o644),
    ] {
        assert_eq!(first.get(Path::new(file)).map(|(mode, _)| *mode), Some(mode), "{file} in {first:?}");
    }
    for unit in ["lib/systemd/system/agentd.service", "share/systemd/user/agentd.service"] {
        let text = fs::read_to_string(prefix.join(unit)).expect("a unit");
        assert!(text.contains(&format!("ExecStart={prefix_text}/bin/agentd")), "{text}");
        assert!(!text.contains("/usr/local/bin/"), "{text}");
    }
    let version = Command::new(prefix.join("bin/agentctl")).arg("--version").output().expect("it runs");
    assert!(succeeds(&version).contains(env!("CARGO_PKG_VERSION")));

    succeeds(&install(&["--prefix", prefix_text]));
    assert_eq!(files(&prefix), first, "the second run left something else");

    // What is not ours stays, and so does its directory.
    fs::create_dir_all(prefix.join("etc")).expect("a directory");
    fs::write(prefix.join("etc/agentd.toml"), "schema = 1\n").expect("a manifest");
    let removed = succeeds(&install(&["--prefix", prefix_text, "--uninstall"]));
    assert!(removed.contains(&format!("removed {} files", first.len())), "{removed}");
    assert_eq!(files(&prefix).into_keys().collect::<Vec<_>>(), [PathBuf::from("etc/agentd.toml")]);
    fs::remove_dir_all(prefix.join("etc")).expect("removed");

    let again = succeeds(&install(&["--prefix", prefix_text, "--uninstall"]));
    assert!(again.contains("removed 0 files"), "{again}");
    assert!(
        !prefix.exists() || fs::read_dir(&prefix).expect("a directory").next().is_none(),
        "empty directories are left"
    );
}

#[test]
fn a_packager_gets_it_below_destdir_with_the_final_paths_inside() {
    let scratch = tempfile::tempdir().expect("a directory");
    let root = scratch.path().to_str().expect("text");
    succeeds(&install(&["--destdir", root, "--prefix", "/usr"]));
    let unit =
        fs::read_to_string(scratch.path().join("usr/lib/systemd/system/agentd.service")).expect("a unit");
    assert!(unit.contains("ExecStart=/usr/bin/agentd") && !unit.contains(root), "{unit}");
    succeeds(&install(&["--destdir", root, "--prefix", "/usr", "--uninstall"]));
    assert!(files(scratch.path()).is_empty(), "{:?}", files(scratch.path()));
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_done() {
    let scratch = tempfile::tempdir().expect("a directory");
    let root = scratch.path().to_str().expect("text");
    for (arguments, said) in [
        (&["--prefix", "relative"][..], "absolute"),
        (&["--prefix", root, "--frobnicate"], "--frobnicate"),
        (&["--prefix"], "needs a directory"),
        (&["--prefix", root, "--binaries", "/nonexistent"], "/nonexistent holds no agentctl and agentd"),
    ] {
        let output = install(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
        assert!(files(scratch.path()).is_empty(), "{arguments:?} wrote something");
    }
}
