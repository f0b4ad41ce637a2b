//! A file that is there whole, or as it was: whatever ends the process or the machine in between.
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Puts a file of our own (mode 0600) in its place. Written aside, synced, renamed, and the directory synced: it is on
/// the disk when this returns. Blocks.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path)?;
    // One that a crash left was never whole, or never wanted.
    let _ = fs::remove_file(&aside);
    let put = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    put().inspect_err(|_| drop(fs::remove_file(&aside)))?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// What was made, renamed or removed in it stays so. Blocks.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    let here = directory.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { directory })?.sync_all()
}

/// `.NAME.new` beside it: on the same file system, and no name that anybody looks for.
fn aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is no name of a file"))?;
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(".new");
    Ok(path.with_file_name(aside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone_and_nothing_is_left_beside_it() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("key");
        fs::write(home.path().join(".key.new"), "half of one that a crash left").expect("written");
        for text in ["first", "second"] {
            replace(&path, text.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).expect("read").count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_was() {
        let home = tempfile::tempdir().expect("a directory");
        // A directory with something in it can be no file, whoever asks.
        let place = home.path().join("taken");
        fs::create_dir(&place).expect("made");
        fs::write(place.join("kept"), "").expect("written");
        assert!(replace(&place, b"text").is_err());
        assert!(place.join("kept").exists());
        assert_eq!(fs::read_dir(home.path()).expect("read").count(), 1, "a half was left");
        assert!(replace(&home.path().join("nowhere/file"), b"text").is_err());
        assert!(replace(Path::new("/"), b"text").is_err());
    }
}
