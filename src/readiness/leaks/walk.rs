//! Walks trees with a bounded pool of threads and searches every file once. What is not searched is counted: binary
//! files, what is behind a bound, what could not be read. Links are not followed, so that no tree leads out of itself.
use super::{
    forms::{self, Hit},
    ignore::Ignore,
};
use ring::hmac;
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read},
    ops::AddAssign,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// Of a file no more is searched than its beginning. A secret stands in a short file, or near its top.
pub const SEARCHED: usize = 1 << 20;
/// A NUL this near to the beginning makes a file binary, as grep has it.
const TELLS: usize = 8 << 10;
/// Files handed to a thread at once.
const BATCH: usize = 64;
/// Leaks of one file, and paths of a kind, that are remembered.
const REMEMBERED: usize = 50;

/// How far a search goes.
pub struct Bounds {
    pub until: Instant,
    pub threads: usize,
    /// Leave out what .gitignore and .ignore name.
    pub honor_ignore_files: bool,
    /// Keys what is said of a value, so that it tells nobody the value.
    pub key: Vec<u8>,
}

/// One secret: where, of what kind, and a keyed digest that changes when it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    pub path: PathBuf,
    pub line: usize,
    pub what: &'static str,
    pub digest: String,
}

/// What a search found and what it left undone.
#[derive(Debug, Default)]
pub struct Searched {
    /// In order of path and line.
    pub leaks: Vec<Leak>,
    pub files: u64,
    pub bytes: u64,
    pub binary: u64,
    /// Larger than `SEARCHED`: searched up to there.
    pub in_part: Vec<PathBuf>,
    pub in_parts: u64,
    pub left_out: u64,
    pub links: u64,
    /// What could not be opened or read, the first of them with why.
    pub unread: Vec<String>,
    pub unreads: u64,
    /// The time was up before the end.
    pub cut_off: bool,
}

/// Searches everything below the roots, which may be files themselves.
pub fn search(roots: &[PathBuf], bounds: &Bounds) -> Searched {
    let work = Work { queue: Mutex::default(), bell: Condvar::new() };
    for root in roots {
        work.put([Job::Root(root.clone())]);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bounds.key);
    let mut all = Searched::default();
    thread::scope(|scope| {
        let pool: Vec<_> =
            (0..bounds.threads.max(1)).map(|_| scope.spawn(|| worker(&work, bounds, &key))).collect();
        for thread in pool {
            match thread.join() {
                Ok(found) => all += found,
                // What it had searched is lost with it.
                Err(_) => all.cut_off = true,
            }
        }
    });
    all.leaks.sort();
    all
}

enum Job {
    Root(PathBuf),
    Dir(PathBuf, Option<Arc<Ignore>>),
    Files(Vec<PathBuf>),
}

/// What is to be done, and how many are at it: when nothing is left and nobody works, it is over.
struct Work {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    busy: usize,
    over: bool,
}

impl Work {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, jobs: impl IntoIterator<Item = Job>) {
        self.queue().jobs.extend(jobs);
        self.bell.notify_all();
    }

    /// The next job; it is busy until it comes back for another.
    fn take(&self, was_busy: bool) -> Option<Job> {
        let mut queue = self.queue();
        queue.busy -= usize::from(was_busy);
        loop {
            // Depth first, which keeps the queue short.
            if let Some(job) = queue.jobs.pop_back() {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 || queue.over {
                queue.over = true;
                self.bell.notify_all();
                return None;
            }
            queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Gives its place up even when a search panics, so that the others do not wait for it.
struct Busy<'a>(&'a Work, bool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.queue().busy -= 1;
            self.0.bell.notify_all();
        }
    }
}

fn worker(work: &Work, bounds: &Bounds, key: &hmac::Key) -> Searched {
    let mut found = Searched::default();
    let mut buffer = Vec::new();
    let mut busy = Busy(work, false);
    while let Some(job) = work.take(std::mem::take(&mut busy.1)) {
        busy.1 = true;
        if Instant::now() >= bounds.until {
            // Taken and dropped, until nothing is left: so that nobody waits.
            found.cut_off = true;
            continue;
        }
        match job {
            Job::Root(path) => match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_file() => work.put([Job::Files(vec![path])]),
                Ok(_) => work.put([Job::Dir(path, None)]),
                Err(error) => found.cannot(&path, &error),
            },
            Job::Dir(dir, ignore) => list(&dir, ignore, work, bounds, &mut found),
            Job::Files(files) => {
                for path in files {
                    if Instant::now() >= bounds.until {
                        found.cut_off = true;
                        break;
                    }
                    if let Err(error) = file(&path, &mut buffer, key, &mut found) {
                        found.cannot(&path, &error);
                    }
                }
            }
        }
    }
    found
}

fn list(dir: &Path, above: Option<Arc<Ignore>>, work: &Work, bounds: &Bounds, found: &mut Searched) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return found.cannot(dir, &error),
    };
    let ignore = if bounds.honor_ignore_files { Ignore::of(dir, above) } else { None };
    let mut files = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.cannot(dir, &error);
                continue;
            }
        };
        let (path, kind) = match entry.file_type() {
            Ok(kind) => (entry.path(), kind),
            Err(error) => {
                found.cannot(&entry.path(), &error);
                continue;
            }
        };
        if ignore.as_ref().is_some_and(|ignore| ignore.leaves_out(&path, kind.is_dir())) {
            found.left_out += 1;
        } else if kind.is_dir() {
            // Compressed: nothing can be read there, and git itself guards it.
            if path.ends_with(".git/objects") {
                found.left_out += 1;
            } else {
                work.put([Job::Dir(path, ignore.clone())]);
            }
        } else if kind.is_file() {
            files.push(path);
            if files.len() == BATCH {
                work.put([Job::Files(std::mem::take(&mut files))]);
            }
        } else {
            found.links += u64::from(kind.is_symlink());
        }
    }
    if !files.is_empty() {
        work.put([Job::Files(files)]);
    }
}

fn file(path: &Path, buffer: &mut Vec<u8>, key: &hmac::Key, found: &mut Searched) -> io::Result<()> {
    // What was a file may be a pipe or a link by now: neither is waited for nor followed.
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let mut opened = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(opened) => opened,
        // Gone since it was listed: there is nothing to search any more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    buffer.clear();
    // Most files end well before this.
    let mut head = (&mut opened).take(TELLS as u64);
    head.read_to_end(buffer)?;
    if buffer.contains(&0) {
        found.binary += 1;
        return Ok(());
    }
    if buffer.len() == TELLS {
        opened.take((SEARCHED + 1 - TELLS) as u64).read_to_end(buffer)?;
    }
    found.files += 1;
    if buffer.len() > SEARCHED {
        found.in_parts += 1;
        if found.in_part.len() < REMEMBERED {
            found.in_part.push(path.to_owned());
        }
        buffer.truncate(SEARCHED);
    }
    found.bytes += buffer.len() as u64;
    let mut hits = Vec::new();
    if !forms::find(buffer, &mut hits) {
        return Err(io::Error::other("no pattern can be searched for"));
    }
    let leak = |Hit { at, what }: Hit| Leak {
        path: path.to_owned(),
        line: 1 + buffer[..at.start].iter().filter(|byte| **byte == b'\n').count(),
        what,
        digest: hmac::sign(key, &buffer[at]).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    found.leaks.extend(hits.into_iter().take(REMEMBERED).map(leak));
    Ok(())
}

impl Searched {
    fn cannot(&mut self, path: &Path, error: &io::Error) {
        self.unreads += 1;
        if self.unread.len() < REMEMBERED {
            self.unread.push(format!("{}: {error}", path.display()));
        }
    }
}

impl AddAssign for Searched {
    fn add_assign(&mut self, other: Self) {
        self.leaks.extend(other.leaks);
        self.files += other.files;
        self.bytes += other.bytes;
        self.binary += other.binary;
        self.in_part.extend(other.in_part);
        self.in_parts += other.in_parts;
        self.left_out += other.left_out;
        self.links += other.links;
        self.unread.extend(other.unread);
        self.unreads += other.unreads;
        self.cut_off |= other.cut_off;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn bounds(honor_ignore_files: bool) -> Bounds {
        Bounds {
            until: Instant::now() + Duration::from_secs(60),
            threads: 3,
            honor_ignore_files,
            key: b"key".to_vec(),
        }
    }

    fn secret() -> String {
        format!("sk-ant-api03-{}1a", (0..60).map(|_| fastrand::alphanumeric()).collect::<String>())
    }

    #[test]
    fn every_file_is_searched_or_counted() {
        let base = tempfile::tempdir().expect("a directory");
        let (dir, secret) = (base.path(), secret());
        fs::create_dir_all(dir.join("a/b/c")).expect("made");
        fs::create_dir_all(dir.join(".git/objects")).expect("made");
        for at in 0..200 {
            fs::write(dir.join(format!("a/b/{at}.txt")), "nothing\nhere\n").expect("written");
        }
        fs::write(dir.join("a/b/c/leak.py"), format!("one\ntwo\nkey = '{secret}'\n")).expect("written");
        fs::write(dir.join("binary"), [b"\0\0", secret.as_bytes()].concat()).expect("written");
        fs::write(dir.join("long"), vec![b'\n'; 3 << 20]).expect("written");
        fs::write(dir.join(".git/objects/x"), &secret).expect("written");
        fs::write(dir.join(".gitignore"), "*.py\n").expect("written");
        std::os::unix::fs::symlink("/", dir.join("out")).expect("linked");
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
        let found = search(&[dir.to_owned()], &bounds(false));
        assert_eq!((found.files, found.binary, found.in_parts, found.links), (203, 1, 1, 1), "{found:?}");
        assert!(!found.cut_off && found.unreads == 0);
        let [leak] = &found.leaks[..] else { panic!("{:?}", found.leaks) };
        assert_eq!((leak.path.clone(), leak.line), (dir.join("a/b/c/leak.py"), 3));
        assert!(!format!("{found:?}").contains(&secret[..20]), "the value is repeated");
        let honored = search(&[dir.to_owned()], &bounds(true));
        assert!(honored.leaks.is_empty() && honored.left_out == 2, "{honored:?}");
        let one = search(&[dir.join("a/b/c/leak.py")], &bounds(false));
        assert_eq!(one.leaks, found.leaks, "a file is a root too, and a digest stays");
    }

    #[test]
    fn what_there_was_no_time_for_and_what_is_not_there_are_said() {
        let base = tempfile::tempdir().expect("a directory");
        fs::write(base.path().join("a"), "a").expect("written");
        let late = Bounds { until: Instant::now(), ..bounds(false) };
        assert!(search(&[base.path().to_owned()], &late).cut_off);
        assert_eq!(search(&[base.path().join("none")], &bounds(false)).unreads, 1);
    }
}
