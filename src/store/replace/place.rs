//! At the start of the daemon, before the store is opened: what was proposed is carried out, or given up with the live
//! database as it was. Cut off anywhere, the next start goes on.
use super::{
    crash,
    marker::{Phase, Places, Replacement, remove},
    propose::{Replacing, one_file, prepare},
};
use crate::{resilience::durable, store::open::beside};
use jiff::Timestamp;
use std::{fs, io};

impl Replacing {
    /// How it stands now; None where nothing was proposed. The lock of the state directory is held. An error leaves the
    /// live database as it was, and is for the operation to tell.
    pub fn carry_out(&self, now: Timestamp) -> Result<Option<Replacement>, String> {
        let places = &self.0;
        let mut marker = match places.read() {
            Ok(Some(marker)) => marker,
            Ok(None) => {
                // What was unpacked and never proposed.
                let _ = fs::remove_dir_all(&places.dir);
                return Ok(None);
            }
            Err(error) => {
                put_back(places).map_err(|error| error.to_string())?;
                return Err(format!("cannot read {}: {error}", places.marker.display()));
            }
        };
        if marker.phase == Phase::Pending {
            marker.phase = match prepare(places, &marker, now) {
                Ok(carried) => Phase::Ready { at: now, carried: marker.tried.and(carried) },
                Err(why) => Phase::Failed { why },
            };
            self.written(&marker)?;
            crash::here("ready");
        }
        if let Phase::Ready { at, carried } = marker.phase {
            marker.phase = match place(places, &marker) {
                Ok(()) => Phase::Placed { at, carried },
                Err(why) => {
                    put_back(places).map_err(|error| format!("{why}; {error}"))?;
                    Phase::Failed { why }
                }
            };
            self.written(&marker)?;
        }
        if matches!(marker.phase, Phase::Failed { .. }) {
            // It takes room, and is made anew by whoever wants it.
            let _ = remove(&places.next());
        }
        Ok(Some(marker))
    }

    fn written(&self, marker: &Replacement) -> Result<(), String> {
        let marked = self.0.write(marker);
        marked.map_err(|error| format!("cannot write {}: {error}", self.0.marker.display()))
    }
}

/// Only renames, in an order in which the files that exist say how far it is.
fn place(places: &Places, marker: &Replacement) -> Result<(), String> {
    let (live, next) = (&places.live, places.next());
    let aside = places.aside(marker.former_until.is_some());
    let moved = |from: &std::path::Path, to: &std::path::Path| -> Result<(), String> {
        let rename = || {
            fs::rename(from, to)?;
            durable::sync_directory(&places.dir)?;
            durable::sync_directory(&places.home)
        };
        rename().map_err(|error: io::Error| {
            format!("cannot move {} to {}: {error}", from.display(), to.display())
        })
    };
    match (live.exists(), next.exists(), aside.exists()) {
        (true, true, _) => {
            // What is in its WAL belongs to it, and must not be read into the other.
            one_file(live).map_err(|error| error.message)?;
            crash::here("the live database was closed for good");
            moved(live, &aside)?;
        }
        // Cut off between the two, or after both.
        (false, true, true) => {}
        (true, false, true) => return Ok(()),
        (_, false, _) => return Err(format!("cannot use {}: it is gone", next.display())),
        (false, true, false) => return Err(format!("cannot replace {}: it is gone", live.display())),
    }
    crash::here("the live database went aside");
    for stray in ["-wal", "-shm", "-journal"].map(|end| beside(live, end)) {
        remove(&stray).map_err(|error| format!("cannot remove {}: {error}", stray.display()))?;
    }
    moved(&next, live)?;
    crash::here("the next one is in its place");
    Ok(())
}

/// Where nothing is in the place of the live database, what was there last is.
fn put_back(places: &Places) -> io::Result<()> {
    if places.live.exists() {
        return Ok(());
    }
    let last = [places.aside(true), places.aside(false)].into_iter().find(|file| file.exists());
    match last {
        Some(last) => fs::rename(last, &places.live).and_then(|()| durable::sync_directory(&places.home)),
        None => Ok(()),
    }
}
