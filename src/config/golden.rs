//! Bad files and what is said of them, word for word: `fixtures/config/NAME.toml` beside `NAME.txt`.
//! `UPDATE_GOLDEN=1` writes what is said now; read the difference before you keep it.
use super::{Sources, fake, load};
use std::{env, fs, path::Path};

#[test]
fn every_bad_file_is_refused_in_the_words_written_down() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config");
    let mut seen = 0;
    for entry in fs::read_dir(&dir).expect("fixtures").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        seen += 1;
        let problems = load(&Sources::file(&entry), &fake::kinds()).err().unwrap_or_default();
        assert!(problems.errors() > 0, "{} was accepted", entry.display());
        let place = format!("{}/", dir.display());
        let said = problems.to_string().replace(&place, "") + "\n";
        let golden = entry.with_extension("txt");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).expect("golden written");
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(said, wanted, "{}", golden.display());
        assert!(!said.contains("hunter2"), "a secret was shown:\n{said}");
        assert!(!format!("{problems:?}").contains("hunter2"), "a secret in Debug");
    }
    assert!(seen >= 10, "only {seen} fixtures");
}
