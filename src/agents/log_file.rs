//! An agent's log on disk: appended to, rotated by size, read from its end. A full disk costs lines, never the daemon.
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Opened at the first write, so that a silent agent costs no descriptor.
pub struct LogFile {
    path: PathBuf,
    /// Bytes after which it is rotated.
    max_size: u64,
    keep: u32,
    open: Option<(File, u64)>,
    /// Lines lost since the last successful write.
    dropped: u64,
}

impl LogFile {
    pub fn new(path: PathBuf, max_size: u64, keep: u32) -> Self {
        Self { path, max_size: max_size.max(4096), keep, open: None, dropped: 0 }
    }

    /// Appends whole lines. What cannot be written is dropped and counted, and the count is written once it can.
    pub fn append(&mut self, text: &[u8], lines: u64) {
        match self.try_append(text) {
            Ok(()) => self.dropped = 0,
            Err(error) => {
                if self.dropped == 0 {
                    tracing::warn!(path = %self.path.display(), %error, "cannot write an agent's log: lines are lost");
                }
                self.dropped += lines;
                self.open = None;
            }
        }
    }

    /// Lines lost that nobody has been told of in the log itself.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn try_append(&mut self, text: &[u8]) -> io::Result<()> {
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.reopen()?,
        };
        if size > 0 && size + text.len() as u64 > self.max_size {
            drop(file);
            self.rotate()?;
            (file, size) = self.reopen()?;
        }
        if self.dropped > 0 {
            let note = format!("- agentd {} lines could not be written and are lost\n", self.dropped);
            file.write_all(note.as_bytes())?;
            size += note.len() as u64;
        }
        file.write_all(text)?;
        self.open = Some((file, size + text.len() as u64));
        Ok(())
    }

    fn reopen(&self) -> io::Result<(File, u64)> {
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn rotate(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.keep).rev() {
            match fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, rotated(&self.path, 1))
    }
}

/// The last `lines` lines over the live file and its rotations, oldest first; at most eight MiB are read.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut found = VecDeque::new();
    let mut budget = TAIL_LIMIT;
    let mut file = path.to_owned();
    for number in 1.. {
        match tail_of(&file, lines - found.len(), &mut budget) {
            Ok(older) => older.into_iter().rev().for_each(|line| found.push_front(line)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
        if found.len() >= lines || budget == 0 {
            break;
        }
        file = rotated(path, number);
    }
    Ok(found.into())
}

const TAIL_LIMIT: u64 = 8 << 20;
const BLOCK: u64 = 64 << 10;

fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn tail_of(path: &Path, lines: usize, budget: &mut u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let mut from = file.metadata()?.len();
    let mut bytes: Vec<u8> = Vec::new();
    // One newline more than lines: it ends the line before the first that is wanted.
    while from > 0 && *budget > 0 && bytes.iter().filter(|byte| **byte == b'\n').count() <= lines {
        let length = BLOCK.min(from).min(*budget);
        from -= length;
        *budget -= length;
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(length).read_to_end(&mut block)?;
        block.append(&mut bytes);
        bytes = block;
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_bounded_and_the_tail_reads_over_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("orders/0.log");
        let mut log = LogFile::new(path.clone(), 4096, 2);
        for number in 0..1000 {
            log.append(format!("{number:040}\n").as_bytes(), 1);
        }
        let files = fs::read_dir(dir.path().join("orders")).expect("there").count();
        assert_eq!(files, 3, "the live file and two rotations");
        let last = tail(&path, 150).expect("lines");
        let expected: Vec<String> = (850..1000).map(|number| format!("{number:040}")).collect();
        assert_eq!(last, expected);
        assert_eq!(tail(&path, 0).expect("none"), Vec::<String>::new());
        assert!(tail(&path, 100_000).expect("what there is").len() < 1000);
        assert!(tail(&dir.path().join("none"), 5).expect("no file, no lines").is_empty());
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_afterwards() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        fs::create_dir(&path).expect("in the way");
        let mut log = LogFile::new(path.clone(), 4096, 1);
        log.append(b"one\ntwo\n", 2);
        assert_eq!(log.dropped(), 2);
        fs::remove_dir(&path).expect("out of the way");
        log.append(b"three\n", 1);
        assert_eq!(log.dropped(), 0);
        let text = fs::read_to_string(&path).expect("a log");
        assert!(text.contains("2 lines could not be written") && text.ends_with("three\n"), "{text}");
    }
}
