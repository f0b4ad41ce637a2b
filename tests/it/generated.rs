//! Files in the repository that follow from the program: each is what the program says today.
use crate::support::agentctl;
use std::{collections::BTreeMap, fs, path::Path};

const AGAIN: &str = "run `just generate` and commit the result";

fn files(directory: &Path, extension: &str) -> BTreeMap<String, String> {
    fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(extension))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect()
}

#[test]
fn completions_and_man_pages_are_those_of_this_program() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (man, completions) = (scratch.path().join("man"), scratch.path().join("completions"));
    agentctl([
        "generate",
        "--man",
        man.to_str().expect("text"),
        "--completions",
        completions.to_str().expect("text"),
    ])
    .exits(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = files(&completions, "");
    assert_eq!(fresh.keys().collect::<Vec<_>>(), ["_agentctl", "agentctl.bash", "agentctl.fish"]);
    for (fresh, kept) in [
        (fresh, files(&root.join("completions"), "")),
        (files(&man, ".1"), files(&root.join("man"), ".1")),
        (files(&man, ".7"), files(&root.join("man"), ".7")),
    ] {
        assert_eq!(fresh.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "{AGAIN}");
        for (name, text) in &fresh {
            assert!(kept.get(name) == Some(text), "{name} has drifted: {AGAIN}");
        }
    }
}

#[test]
fn every_command_has_a_page_and_every_shell_a_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["agentctl.1", "agentctl-version.1", "agentctl-completion.1", "agentd.8", "agentd.toml.5"] {
        let text = fs::read_to_string(root.join("man").join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH NAME"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = agentctl(["completion", shell]).exits(0).stdout;
        assert!(script.contains("agentctl"), "{shell}: {script}");
    }
}

#[test]
fn hidden_commands_are_in_no_page() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/agentctl.1")).expect("a page");
    assert!(!page.contains("demo-agent") && !page.contains("generate"), "{page}");
}

#[test]
fn the_readme_lists_the_exit_codes_as_the_program_does() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    for line in agentctl(["help", "exit-codes"]).exits(0).stdout.lines() {
        let (code, meaning) = line.trim().split_once("  ").expect("a code and its meaning");
        assert!(readme.contains(&format!("| {code} | {meaning} |")), "{line} is not in the README");
    }
}
