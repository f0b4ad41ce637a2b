//! What is in an artifact: every entry with its type, mode, content and path, in one order and one notation. The digest
//! of an artifact is that of its listing, so that what differs can be named and not only that something does.
use crate::domain::{Digest, Fault};
use ring::digest::{SHA256, digest};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// A link that leads to links is followed no further.
const MOST_LINKS: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File { size: u64 },
    Link { target: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub mode: u32,
    /// SHA-256 of a file's bytes or a link's target; zeroes for a directory.
    pub content: Digest,
}

/// By path, relative to the artifact, in order of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(pub BTreeMap<Vec<u8>, Entry>);

impl Listing {
    pub fn files(&self) -> u64 {
        self.0.values().filter(|entry| matches!(entry.kind, Kind::File { .. })).count() as u64
    }

    pub fn bytes(&self) -> u64 {
        let size = |entry: &Entry| if let Kind::File { size } = entry.kind { size } else { 0 };
        self.0.values().map(size).sum()
    }

    /// A line each: type, mode, content, size, and the path with its length before it, so that no name can forge a line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (path, Entry { kind, mode, content }) in &self.0 {
            let (letter, size) = match kind {
                Kind::Directory => ('d', 0),
                Kind::File { size } => ('f', *size),
                Kind::Link { target } => ('l', target.len() as u64),
            };
            // A Vec takes everything.
            let _ = write!(text, "{letter} {mode:04o} {content} {size} {}:", path.len());
            text.extend_from_slice(path);
            text.push(b'\n');
        }
        text
    }

    /// Of what `to_bytes` wrote. Targets of links are not in it: their digest is.
    pub fn read(mut text: &[u8]) -> Option<Self> {
        let mut entries = BTreeMap::new();
        while !text.is_empty() {
            let colon = text.iter().position(|byte| *byte == b':')?;
            let head = str::from_utf8(&text[..colon]).ok()?;
            let [letter, mode, content, size, length] = *head.split(' ').collect::<Vec<_>>() else {
                return None;
            };
            let rest = &text[colon + 1..];
            let (path, rest) = rest.split_at_checked(length.parse().ok()?)?;
            let kind = match letter {
                "d" => Kind::Directory,
                "f" => Kind::File { size: size.parse().ok()? },
                "l" => Kind::Link { target: Vec::new() },
                _ => return None,
            };
            let mode = u32::from_str_radix(mode, 8).ok()?;
            entries.insert(path.to_vec(), Entry { kind, mode, content: content.parse().ok()? });
            text = rest.strip_prefix(b"\n")?;
        }
        Some(Self(entries))
    }

    pub fn digest(&self) -> Digest {
        sha256(&self.to_bytes())
    }

    /// What is not the same in the other, in order, each with how.
    pub fn differences(&self, other: &Self) -> Vec<(PathBuf, &'static str)> {
        let mut found: BTreeMap<&[u8], &'static str> = BTreeMap::new();
        for (path, entry) in &self.0 {
            match other.0.get(path) {
                None => drop(found.insert(path, "is gone")),
                Some(same) if same.alike(entry) => {}
                Some(same) if same.content == entry.content => drop(found.insert(path, "has another mode")),
                Some(_) => drop(found.insert(path, "has other content")),
            }
        }
        found.extend(
            other.0.keys().filter(|path| !self.0.contains_key(*path)).map(|path| (&path[..], "is new")),
        );
        found.into_iter().map(|(path, how)| (PathBuf::from(OsStr::from_bytes(path)), how)).collect()
    }

    /// Every link leads to somewhere in the artifact, also by way of others.
    pub fn check_links(&self, root: &Path) -> Result<(), Fault> {
        for (path, entry) in &self.0 {
            let Kind::Link { target } = &entry.kind else { continue };
            if let Err(why) = self.follow(path, target) {
                let at = root.join(OsStr::from_bytes(path));
                let to = String::from_utf8_lossy(target);
                return Err(Fault::usage(format!(
                    "cannot take {} into a release: the link to {} {why}",
                    shown(&at),
                    to.escape_debug()
                ))
                .hint("put what it leads to into the artifact, or keep it outside and refer to it by `environment`"));
            }
        }
        Ok(())
    }

    fn follow(&self, link: &[u8], target: &[u8]) -> Result<(), &'static str> {
        let above = link.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &link[..at]);
        let mut here: Vec<&[u8]> =
            above.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        let mut ahead: Vec<&[u8]> = Vec::new();
        let mut links = 0;
        let mut turn = target;
        loop {
            if turn.first() == Some(&b'/') {
                return Err("leaves the artifact");
            }
            ahead.extend(turn.split(|byte| *byte == b'/').rev());
            turn = loop {
                match ahead.pop() {
                    None => return Ok(()),
                    Some(b"" | b".") => {}
                    Some(b"..") => {
                        here.pop().ok_or("leaves the artifact")?;
                    }
                    Some(part) => {
                        here.push(part);
                        if let Some(Entry { kind: Kind::Link { target }, .. }) = self.0.get(&here.join(&b'/'))
                        {
                            here.pop();
                            break target;
                        }
                    }
                }
            };
            links += 1;
            if links > MOST_LINKS {
                return Err("leads in a circle");
            }
        }
    }
}

impl Entry {
    /// Whether or not a link's target was read along.
    fn alike(&self, other: &Self) -> bool {
        let same_kind = match (&self.kind, &other.kind) {
            (Kind::Link { .. }, Kind::Link { .. }) => true,
            (one, two) => one == two,
        };
        same_kind && self.mode == other.mode && self.content == other.content
    }
}

pub fn sha256(bytes: &[u8]) -> Digest {
    let mut found = Digest::default();
    found.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
    found
}

/// A path as it may be shown in a sentence.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(target: &str) -> Entry {
        let content = sha256(target.as_bytes());
        Entry { kind: Kind::Link { target: target.into() }, mode: 0o777, content }
    }

    fn file(text: &str) -> Entry {
        let kind = Kind::File { size: text.len() as u64 };
        Entry { kind, mode: 0o444, content: sha256(text.as_bytes()) }
    }

    fn of(entries: &[(&str, Entry)]) -> Listing {
        Listing(entries.iter().map(|(path, entry)| (path.as_bytes().to_vec(), entry.clone())).collect())
    }

    #[test]
    fn links_stay_inside_whatever_way_they_take() {
        let directory = Entry { kind: Kind::Directory, mode: 0o555, content: Digest::default() };
        let base = [("d", directory.clone()), ("d/up", link("..")), ("main.py", file("x"))];
        for (target, sound) in [
            ("main.py", true),
            ("d/../main.py", true),
            ("not/there/yet", true),
            ("d/up/main.py", true),
            ("../main.py", false),
            ("/etc/passwd", false),
            ("d/../../etc", false),
            // `d/up` is the artifact itself: what is above it is outside.
            ("d/up/../etc", false),
            ("loop", false),
        ] {
            let mut all = of(&base);
            all.0.insert(b"loop".to_vec(), link(target));
            let checked = all.check_links(Path::new("/a"));
            assert_eq!(checked.is_ok(), sound, "{target}: {checked:?}");
        }
    }

    #[test]
    fn what_differs_is_named_with_how() {
        let before = of(&[("a", file("1")), ("b", file("1")), ("c", file("1")), ("m", file("1"))]);
        let exec = Entry { mode: 0o555, ..file("1") };
        let after = of(&[("a", file("1")), ("b", file("2")), ("d", file("1")), ("m", exec)]);
        let named: Vec<_> = before
            .differences(&after)
            .into_iter()
            .map(|(path, how)| (path.display().to_string(), how))
            .collect();
        let want = [("b", "has other content"), ("c", "is gone"), ("d", "is new"), ("m", "has another mode")];
        assert_eq!(named, want.map(|(path, how)| (path.to_owned(), how)));
    }

    proptest! {
        #[test]
        fn no_name_forges_an_entry_and_each_listing_reads_back(
            names in prop::collection::btree_set(prop::collection::vec(1_u8.., 1..40), 0..8)
        ) {
            let all = Listing(names.into_iter().map(|name| (name, file("x"))).collect());
            let text = all.to_bytes();
            prop_assert_eq!(Listing::read(&text), Some(all.clone()));
            for cut in 1..text.len().min(60) {
                let part = Listing::read(&text[..text.len() - cut]);
                prop_assert!(part.is_none_or(|part| part != all));
            }
        }
    }
}
