//! What .gitignore and .ignore files leave out, as gitignore(5) has it: the last pattern that fits decides, `!` takes
//! back, `/` in front or in the middle binds to the file's directory, `/` at the end means directories.
use regex::bytes::Regex;
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

const FILES: &[&str] = &[".gitignore", ".ignore"];
/// No sane ignore file is longer.
const LONGEST: u64 = 1 << 20;

/// Patterns of one directory, and of those above it.
pub struct Ignore {
    above: Option<Arc<Ignore>>,
    dir: PathBuf,
    patterns: Vec<Pattern>,
}

struct Pattern {
    form: Regex,
    back: bool,
    directories: bool,
}

impl Ignore {
    /// The patterns that hold in `dir`: those of its own files, then those from above.
    pub fn of(dir: &Path, above: Option<Arc<Ignore>>) -> Option<Arc<Ignore>> {
        let mut patterns = Vec::new();
        for name in FILES {
            let path = dir.join(name);
            // A link or a pipe of that name is nobody's list.
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST) {
                let text = fs::read(&path).unwrap_or_default();
                patterns.extend(text.split(|byte| *byte == b'\n').filter_map(pattern));
            }
        }
        if patterns.is_empty() {
            above
        } else {
            Some(Arc::new(Self { above, dir: dir.to_owned(), patterns }))
        }
    }

    /// Is this path, below the directory, left out?
    pub fn leaves_out(&self, path: &Path, directory: bool) -> bool {
        let mut here = Some(self);
        while let Some(ignore) = here {
            if let Ok(below) = path.strip_prefix(&ignore.dir) {
                let below = below.as_os_str().as_bytes();
                let fits =
                    |pattern: &&Pattern| (directory || !pattern.directories) && pattern.form.is_match(below);
                if let Some(last) = ignore.patterns.iter().rev().find(fits) {
                    return !last.back;
                }
            }
            here = ignore.above.as_deref();
        }
        false
    }
}

fn pattern(line: &[u8]) -> Option<Pattern> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    // A space at the end counts only behind a backslash.
    let mut line = if line.ends_with("\\ ") { line } else { line.trim_end_matches(' ') };
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let back = line.starts_with('!');
    line = line.strip_prefix('!').unwrap_or(line);
    let directories = line.ends_with('/');
    line = line.strip_suffix('/').unwrap_or(line);
    let bound = line.contains('/');
    line = line.strip_prefix('/').unwrap_or(line);
    let mut form = String::from(if bound { "(?s-u)^" } else { "(?s-u)^(?:.*/)?" });
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            form.push_str("(?:.*/)?");
            rest = after;
            continue;
        }
        if rest == "**" {
            form.push_str(".+");
            break;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => {
                rest = rest.trim_start_matches('*');
                form.push_str("[^/]*");
            }
            '?' => form.push_str("[^/]"),
            '[' => rest = class(rest, &mut form)?,
            '\\' => {
                let escaped = rest.chars().next()?;
                form.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
                rest = &rest[escaped.len_utf8()..];
            }
            c => form.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    form.push('$');
    Some(Pattern { form: Regex::new(&form).ok()?, back, directories })
}

/// `abc]`, `!a-z]`: what is behind it. None for one without an end, which fits nothing.
fn class<'a>(rest: &'a str, form: &mut String) -> Option<&'a str> {
    let (negated, rest) = match rest.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    // The first `]` right at the front is one of the characters.
    let end = 1 + rest.get(1..)?.find(']')?;
    form.push_str(if negated { "[^/" } else { "[" });
    for c in rest[..end].chars() {
        if matches!(c, '[' | ']' | '^' | '&' | '~' | '\\') {
            form.push('\\');
        }
        form.push(c);
    }
    form.push(']');
    Some(&rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(text: &str, path: &str) -> bool {
        let patterns = text.lines().filter_map(|line| pattern(line.as_bytes())).collect();
        let ignore = Ignore { above: None, dir: "/t".into(), patterns };
        ignore.leaves_out(&Path::new("/t").join(path.trim_end_matches('/')), path.ends_with('/'))
    }

    /// Compared with `git check-ignore` once; kept as a table since git may not be here.
    #[test]
    fn patterns_fit_as_gitignore_has_them() {
        for (text, path, out) in [
            ("*.log", "a/b.log", true),
            ("*.log", "a/b.logs", false),
            ("/top", "top", true),
            ("/top", "a/top", false),
            ("build/", "a/build/", true),
            ("build/", "a/build", false),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
            ("**/a/b", "x/a/b", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**", "a/x/y", true),
            ("a/**", "a/", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("*.key\n!ours.key", "ours.key", false),
            ("*.key\n!ours.key", "theirs.key", true),
            ("# .env", ".env", false),
            ("\\#x", "#x", true),
            ("\\!x", "!x", true),
            ("x\\ ", "x ", true),
            (".env  ", ".env", true),
            ("a.b", "axb", false),
            ("", "x", false),
        ] {
            assert_eq!(left_out(text, path), out, "{text:?} {path}");
        }
    }

    #[test]
    fn a_nearer_file_decides_before_a_farther_one() {
        let base = tempfile::tempdir().expect("a directory");
        let sub = base.path().join("sub");
        fs::create_dir(&sub).expect("made");
        fs::write(base.path().join(".gitignore"), "*.key\n").expect("written");
        fs::write(sub.join(".ignore"), "!*.key\n").expect("written");
        let above = Ignore::of(base.path(), None).expect("patterns");
        let here = Ignore::of(&sub, Some(above.clone())).expect("patterns");
        assert!(above.leaves_out(&base.path().join("a.key"), false));
        assert!(!here.leaves_out(&sub.join("a.key"), false));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(line in ".{0,40}", path in "[a-z/.*\\[\\]]{1,20}") {
            let _ = left_out(&line, &path);
        }
    }
}
