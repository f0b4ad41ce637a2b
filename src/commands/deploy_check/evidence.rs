//! The file that is shown with an attestation: read by who shows it, bounded; and written out again, privately.
use crate::{
    deploy::checklist::{LARGEST_EVIDENCE, Shown},
    domain::Fault,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Of a regular file, and of no more than can be kept.
pub fn read(path: &Path) -> Result<Shown, Fault> {
    let cannot = |why: String| Fault::usage(format!("cannot show {} as evidence: {why}", path.display()));
    let known = fs::metadata(path).map_err(|error| cannot(error.to_string()))?;
    if !known.is_file() {
        return Err(cannot("it is no regular file".into()));
    }
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST_EVIDENCE as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| cannot(error.to_string()))?;
    if bytes.is_empty() {
        return Err(cannot("it is empty".into()));
    }
    if bytes.len() > LARGEST_EVIDENCE {
        return Err(cannot(format!("it is larger than {} KiB", LARGEST_EVIDENCE >> 10))
            .hint("show an excerpt, or a file of digests, and say in --note where the whole is"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Shown::of(name, &bytes))
}

/// To a file that does not exist yet, for nobody else's eyes.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        Fault::usage(format!("cannot write evidence to {}: {error}", path.display()))
            .hint("--save takes a file that does not exist yet, in a directory that may be written")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_missing_empty_too_large_or_no_file_is_refused_and_the_rest_comes_back_whole() {
        let home = tempfile::tempdir().expect("a directory");
        let place = |name: &str| home.path().join(name);
        fs::write(place("empty"), "").expect("written");
        fs::write(place("large"), vec![7; LARGEST_EVIDENCE + 1]).expect("written");
        fs::write(place("most"), vec![7; LARGEST_EVIDENCE]).expect("written");
        for (path, why) in [
            (place("none"), "No such file"),
            (place("empty"), "is empty"),
            (place("large"), "larger than"),
            (home.path().to_owned(), "no regular file"),
            ("/dev/zero".into(), "no regular file"),
        ] {
            let fault = read(&path).expect_err(why);
            assert!(fault.message.contains(why), "{fault:?}");
        }
        let shown = read(&place("most")).expect("read");
        assert_eq!(shown.name, "most");
        let bytes = shown.bytes().expect("decoded");
        write(&place("again"), &bytes).expect("written");
        assert_eq!(fs::read(place("again")).expect("read"), vec![7; LARGEST_EVIDENCE]);
        let mode = fs::metadata(place("again")).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(write(&place("again"), &bytes).is_err(), "it was overwritten");
    }
}
