//! What holds the trail from outside the database: a file that only grows, a line for the newest row every so often.
//! Each line has a MAC of its own over the line before, so that none can be changed, taken out or put in.
use super::chain::AuditKey;
use crate::{domain::Digest, resilience::durable};
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const ANCHOR: &[u8] = b"agentd audit anchor 1";
/// A line is shorter, whatever it holds.
const LONGEST_LINE: u64 = 512;
/// Beyond this, lines that speak of rows gone by retention are taken out.
const COMPACT_BEYOND: u64 = 4 << 20;
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorKind {
    /// The file begins; rows up to here were there already.
    Begin,
    /// The row of this number has this hash.
    Anchor,
    /// Retention takes the rows up to here, the last of them with this hash.
    Pruned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    pub kind: AnchorKind,
    pub seq: u64,
    pub hash: Digest,
    pub at: Timestamp,
    pub mac: Digest,
}

/// The file as a whole, read.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    pub lines: Vec<Anchor>,
    /// The first line that is not as it was written, from 1.
    pub changed: Option<usize>,
    /// The last line has no end: a crash cut it off, or somebody did.
    pub torn: bool,
}

/// The file, written to. Opened anew for each line, so that one that was moved away is missed at once.
pub struct AnchorFile {
    path: PathBuf,
    key: AuditKey,
    last: Anchor,
}

impl AnchorFile {
    /// Makes it if it is not there, beginning at the row that is the newest now.
    pub fn open(path: &Path, key: &AuditKey, head: (u64, Digest), now: Timestamp) -> io::Result<Self> {
        let known = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(_) => last_line(path)?,
        };
        if let Some(last) = known {
            return Ok(Self { path: path.to_owned(), key: key.clone(), last });
        }
        let last = sealed(key, &Digest::default(), AnchorKind::Begin, head, now);
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(NO_LINK).open(path)?;
        add(&file, &last)?;
        durable::sync_directory(path.parent().unwrap_or(Path::new("/")))?;
        Ok(Self { path: path.to_owned(), key: key.clone(), last })
    }

    /// The newest row that is held; the number of a row is never given again below it.
    pub fn last(&self) -> (u64, Digest) {
        (self.last.seq, self.last.hash)
    }

    /// On the disk when this returns.
    pub fn append(&mut self, kind: AnchorKind, head: (u64, Digest), now: Timestamp) -> io::Result<()> {
        let next = sealed(&self.key, &self.last.mac, kind, head, now);
        let file = OpenOptions::new().read(true).append(true).custom_flags(NO_LINK).open(&self.path)?;
        add(&file, &next)?;
        self.last = next;
        Ok(())
    }

    /// Lines about rows up to `pruned` go once the file is large.
    pub fn compact(&mut self, pruned: (u64, Digest), now: Timestamp) -> io::Result<()> {
        if fs::metadata(&self.path)?.len() <= COMPACT_BEYOND {
            return Ok(());
        }
        let known = Anchors::read(&self.path, &self.key)?;
        if known.changed.is_some() {
            return Err(io::Error::other("it was changed; it is left as it is"));
        }
        let mut last = sealed(&self.key, &Digest::default(), AnchorKind::Pruned, pruned, now);
        let mut text = line(&last)?;
        for kept in known.lines.iter().filter(|kept| kept.seq > pruned.0) {
            last = sealed(&self.key, &last.mac, kept.kind, (kept.seq, kept.hash), kept.at);
            text.push_str(&line(&last)?);
        }
        durable::replace(&self.path, text.as_bytes())?;
        self.last = last;
        Ok(())
    }
}

impl Anchors {
    /// Every line, held against the key and the line before it.
    pub fn read(path: &Path, key: &AuditKey) -> io::Result<Self> {
        let mut text = Vec::new();
        OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?.read_to_end(&mut text)?;
        Ok(Self::parse(&text, key))
    }

    fn parse(text: &[u8], key: &AuditKey) -> Self {
        let mut known = Self { torn: !text.is_empty() && !text.ends_with(b"\n"), ..Self::default() };
        let mut before = Digest::default();
        let whole = &text[..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)];
        for (number, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let read = serde_json::from_slice::<Anchor>(line).ok();
            let sound = read.filter(|anchor| {
                let Anchor { kind, seq, hash, at, mac } = *anchor;
                sealed(key, &before, kind, (seq, hash), at).mac == mac
            });
            match sound {
                Some(anchor) => {
                    before = anchor.mac;
                    known.lines.push(anchor);
                }
                // What a crash cut off has been ended since, and no later line rests on it.
                None if cut_off(line) => {}
                None => {
                    known.changed = Some(number + 1);
                    break;
                }
            }
        }
        known
    }

    /// The hashes that a row of this number must have.
    pub fn by_seq(&self) -> BTreeMap<u64, Vec<Digest>> {
        let mut by_seq: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
        for anchor in self.lines.iter().filter(|anchor| anchor.seq > 0) {
            by_seq.entry(anchor.seq).or_default().push(anchor.hash);
        }
        by_seq
    }

    /// Rows up to here are said to be gone by retention.
    pub fn pruned(&self, seq: u64) -> Option<Digest> {
        let mut pruned = self.lines.iter().filter(|anchor| anchor.kind == AnchorKind::Pruned);
        pruned.find(|anchor| anchor.seq == seq).map(|anchor| anchor.hash)
    }

    pub fn newest(&self) -> Option<&Anchor> {
        self.lines.iter().max_by_key(|anchor| anchor.seq)
    }
}

/// The last whole line of the file, taken at its word.
pub fn newest_in(path: &Path) -> Option<Anchor> {
    last_line(path).ok().flatten()
}

/// The first lines of the file, up to one that speaks of a row after `seq`. Each rests on those before it alone, so that
/// what is left verifies.
pub fn up_to(path: &Path, seq: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?.read_to_end(&mut text)?;
    let mut end = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let later = serde_json::from_slice::<Anchor>(line).is_ok_and(|anchor| anchor.seq > seq);
        if later || !line.ends_with(b"\n") {
            break;
        }
        end += line.len();
    }
    text.truncate(end);
    Ok(text)
}

fn sealed(key: &AuditKey, before: &Digest, kind: AnchorKind, head: (u64, Digest), at: Timestamp) -> Anchor {
    let (seq, hash) = head;
    let word: &[u8] = match kind {
        AnchorKind::Begin => b"begin",
        AnchorKind::Anchor => b"anchor",
        AnchorKind::Pruned => b"pruned",
    };
    let parts = [&before.0, word, &seq.to_be_bytes(), &hash.0, &at.as_nanosecond().to_be_bytes()];
    Anchor { kind, seq, hash, at, mac: key.mac(ANCHOR, &parts) }
}

fn line(anchor: &Anchor) -> io::Result<String> {
    Ok(serde_json::to_string(anchor)? + "\n")
}

/// A line that was cut off before is ended first, so that this one stands alone.
fn add(file: &File, anchor: &Anchor) -> io::Result<()> {
    let mut text = line(anchor)?;
    let mut end = [b'\n'];
    let mut reader = file;
    if file.metadata()?.len() > 0 && reader.seek(SeekFrom::End(-1)).is_ok() {
        reader.read_exact(&mut end)?;
    }
    if end != *b"\n" {
        text.insert_str(0, "~\n");
    }
    (&*file).write_all(text.as_bytes())?;
    file.sync_data()
}

/// Ended by `add` after a crash.
fn cut_off(line: &[u8]) -> bool {
    line.ends_with(b"~\n") && !line.ends_with(b"}~\n")
}

/// The last whole line, whose MAC the next one rests on.
fn last_line(path: &Path) -> io::Result<Option<Anchor>> {
    let mut file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)?;
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(8 * LONGEST_LINE)))?;
    file.read_to_end(&mut tail)?;
    let ended = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = tail[..ended].rsplit(|byte| *byte == b'\n');
    Ok(lines.find_map(|line| serde_json::from_slice(line).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AuditKey {
        AuditKey::new(&[3; 32])
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).expect("a time")
    }

    fn written(path: &Path) -> AnchorFile {
        let mut file = AnchorFile::open(path, &key(), (0, Digest::default()), now()).expect("made");
        for seq in [100, 200, 300] {
            file.append(AnchorKind::Anchor, (seq, Digest([7; 32])), now()).expect("anchored");
        }
        file
    }

    #[test]
    fn it_reads_back_goes_on_where_it_was_and_every_change_of_it_is_seen() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("audit.anchors");
        drop(written(&path));
        let mut again = AnchorFile::open(&path, &key(), (0, Digest::default()), now()).expect("opened");
        assert_eq!(again.last().0, 300);
        again.append(AnchorKind::Pruned, (100, Digest([7; 32])), now()).expect("anchored");
        let text = fs::read_to_string(&path).expect("read");
        let sound = Anchors::parse(text.as_bytes(), &key());
        assert_eq!((sound.lines.len(), sound.changed, sound.torn), (5, None, false));
        assert_eq!((sound.pruned(100), sound.pruned(200)), (Some(Digest([7; 32])), None));
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n") + "\n";
        for (what, spoilt, at) in [
            ("a number", text.replace("\"seq\":200", "\"seq\":201"), 3),
            ("a time", text.replacen("2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z", 1), 1),
            ("a kind", text.replace("pruned", "anchor"), 5),
            ("one taken out", joined(&[&lines[..1], &lines[2..]].concat()), 2),
            ("two swapped", joined(&[lines[0], lines[2], lines[1], lines[3], lines[4]]), 2),
            ("the first gone", joined(&lines[1..]), 1),
            ("one put in", joined(&[lines[0], lines[1], lines[1], lines[2]]), 3),
            ("noise", format!("{}\n{text}", "noise"), 1),
        ] {
            assert_eq!(Anchors::parse(spoilt.as_bytes(), &key()).changed, Some(at), "{what}");
        }
        let other = AuditKey::new(&[4; 32]);
        assert_eq!(Anchors::parse(text.as_bytes(), &other).changed, Some(1));
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_told_and_does_not_spoil_the_next() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("audit.anchors");
        drop(written(&path));
        let text = fs::read_to_string(&path).expect("read");
        let cut = &text[..text.len() - 40];
        fs::write(&path, cut).expect("cut");
        let seen = Anchors::read(&path, &key()).expect("read");
        assert_eq!((seen.lines.len(), seen.changed, seen.torn), (3, None, true));
        let mut file = AnchorFile::open(&path, &key(), (0, Digest::default()), now()).expect("opened");
        assert_eq!(file.last().0, 200);
        file.append(AnchorKind::Anchor, (400, Digest([1; 32])), now()).expect("anchored");
        let seen = Anchors::read(&path, &key()).expect("read");
        assert_eq!((seen.lines.len(), seen.changed, seen.torn), (4, None, false));
        fs::remove_file(&path).expect("removed");
        assert!(
            file.append(AnchorKind::Anchor, (500, Digest([1; 32])), now()).is_err(),
            "made anew in silence"
        );
    }
}
