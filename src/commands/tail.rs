//! The end of a log file and what comes after it, over rotation. Both ends use it: the daemon for agents' output,
//! the terminal for the daemon's own log.
use crate::domain::Fault;
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Between two looks at a file that says nothing.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Taken at one look; the rest waits for the next, so that a flood is never held in memory.
const MOUTHFUL: u64 = 64 << 10;
/// Searched for the last lines.
const FARTHEST: u64 = 4 << 20;
/// A longer line is shown in pieces.
const LONGEST_LINE: usize = 64 << 10;

pub struct Tail {
    path: PathBuf,
    file: File,
    /// Bytes of a line whose end has not come.
    held: Vec<u8>,
}

impl Tail {
    /// The last `lines` lines, oldest first, and the place from which to go on.
    pub fn last(path: &Path, lines: usize) -> io::Result<(Vec<String>, Self)> {
        let mut tail = Self::start(path)?;
        let end = tail.file.seek(SeekFrom::End(0))?;
        let mut reach = MOUTHFUL;
        loop {
            let from = end.saturating_sub(reach);
            tail.file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&tail.file).take(end - from).read_to_end(&mut bytes)?;
            let enough = bytes.iter().filter(|byte| **byte == b'\n').count() > lines;
            if !enough && from > 0 && reach < FARTHEST {
                reach *= 2;
                continue;
            }
            let mut found = tail.lines_of(&bytes);
            if from > 0 && !found.is_empty() {
                // It began before where we looked.
                found.remove(0);
            }
            found.drain(..found.len().saturating_sub(lines));
            return Ok((found, tail));
        }
    }

    /// From the first byte.
    pub fn start(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path)?, held: Vec::new() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines that have come since; none if nothing has. Reads from the page cache and so does not wait.
    pub fn more(&mut self) -> io::Result<Vec<String>> {
        let lines = self.read()?;
        if !lines.is_empty() || !self.turned()? {
            return Ok(lines);
        }
        // What was written between our last look and the rotation, then the new file.
        let lines = self.read()?;
        if !lines.is_empty() {
            return Ok(lines);
        }
        self.file = File::open(&self.path)?;
        self.read()
    }

    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        (&self.file).take(MOUTHFUL).read_to_end(&mut bytes)?;
        Ok(self.lines_of(&bytes))
    }

    /// Has another file taken the path, or has ours been cut short?
    fn turned(&mut self) -> io::Result<bool> {
        let now = match fs::metadata(&self.path) {
            Ok(now) => now,
            // Between the rename and the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let ours = self.file.metadata()?;
        Ok((now.dev(), now.ino()) != (ours.dev(), ours.ino()) || now.len() < self.file.stream_position()?)
    }

    fn lines_of(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some(length) = self.held[from..].iter().position(|byte| *byte == b'\n') {
            lines.push(String::from_utf8_lossy(&self.held[from..from + length]).into_owned());
            from += length + 1;
        }
        self.held.drain(..from);
        if self.held.len() > LONGEST_LINE {
            lines.push(String::from_utf8_lossy(&self.held).into_owned());
            self.held.clear();
        }
        lines
    }
}

/// A log that cannot be read, as the operator reads it.
pub fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let fault = if error.kind() == io::ErrorKind::NotFound { Fault::not_found } else { Fault::internal };
    fault(format!("cannot read the log {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    #[test]
    fn the_last_lines_and_then_each_new_one_over_a_rotation() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("orders.log");
        append(&path, "one\ntwo\nthree\nhal");
        let (lines, mut tail) = Tail::last(&path, 2).expect("read");
        assert_eq!(lines, ["two", "three"]);
        append(&path, "f\n");
        assert_eq!(tail.more().expect("read"), ["half"]);
        assert!(tail.more().expect("read").is_empty());

        append(&path, "last of the old\n");
        fs::rename(&path, home.path().join("orders.log.1")).expect("rotated");
        append(&path, "first of the new\n");
        assert_eq!(tail.more().expect("read"), ["last of the old"]);
        assert_eq!(tail.more().expect("read"), ["first of the new"]);
        File::create(&path).expect("cut short");
        append(&path, "again\n");
        assert_eq!(tail.more().expect("read"), ["again"]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("flood.log");
        append(&path, &"x".repeat(300 << 10));
        let mut tail = Tail::start(&path).expect("opened");
        let mut seen = 0;
        for _ in 0..10 {
            seen += tail.more().expect("read").iter().map(String::len).sum::<usize>();
            assert!(tail.held.len() <= LONGEST_LINE + 1);
        }
        assert!(seen >= 200 << 10, "{seen}");
    }

    #[test]
    fn far_back_lines_are_found_and_a_cut_one_is_not_shown() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("long.log");
        let text: String = (0..20_000).map(|n| format!("line {n} with some text behind it\n")).collect();
        append(&path, &text);
        let (lines, _) = Tail::last(&path, 10_000).expect("read");
        assert_eq!(lines.len(), 10_000);
        assert_eq!(lines[0], "line 10000 with some text behind it");
    }
}
