//! The switch over all agents that is thrown by hand or by a rollback: off, or limited to some clients. It is a file of
//! its own, so that no restart, no reload and no database that is put back turns the fleet on again.
use crate::{
    domain::{Fault, FaultKind, Limited, Principal, SwitchedOff},
    resilience::durable,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

pub struct Switch {
    path: PathBuf,
    thrown: Mutex<Thrown>,
}

/// How it stands; with neither, the manifest alone decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thrown {
    pub off: Option<SwitchedOff>,
    /// While it is off as well: so it will be when it is on again.
    pub limited: Option<Limited>,
}

/// The file. Whoever knows nothing of limits reads each form of it as off.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    word: SwitchedOff,
    /// Present: it is on, for these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clients: Option<Vec<Principal>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limited: Option<Limited>,
}

impl Switch {
    /// A file that cannot be understood holds the fleet off: nothing is started on a guess.
    pub fn open(path: &Path) -> Self {
        let thrown = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Thrown::default(),
            read => read
                .ok()
                .and_then(|text| serde_json::from_slice::<Written>(&text).ok())
                .and_then(Written::understood)
                .unwrap_or_else(|| Thrown { off: Some(SwitchedOff::unreadable(path)), limited: None }),
        };
        Self { path: path.to_owned(), thrown: Mutex::new(thrown) }
    }

    pub fn thrown(&self) -> Thrown {
        self.thrown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On the disk before it is so. Blocks.
    pub fn set(&self, thrown: Thrown) -> Result<(), Fault> {
        self.keep(Written::of(&thrown)).map_err(|error| {
            Fault::new(FaultKind::Unavailable, format!("cannot write {}: {error}", self.path.display()))
                .hint("the switch stands as it stood; make room there, or give the directory back to agentd")
        })?;
        *self.thrown.lock().unwrap_or_else(PoisonError::into_inner) = thrown;
        Ok(())
    }

    fn keep(&self, written: Option<Written>) -> io::Result<()> {
        if let Some(written) = written {
            return durable::replace(&self.path, &serde_json::to_vec(&written)?);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        durable::sync_directory(self.path.parent().unwrap_or(Path::new(".")))
    }
}

impl Written {
    fn of(thrown: &Thrown) -> Option<Self> {
        let Thrown { off, limited } = thrown.clone();
        match (off, limited) {
            (None, None) => None,
            (Some(word), limited) => Some(Self { word, clients: None, limited }),
            (None, Some(Limited { at, by, reason, clients })) => {
                let word = SwitchedOff { at, by: Some(by), reason };
                Some(Self { word, clients: Some(clients), limited: None })
            }
        }
    }

    /// None where it contradicts itself.
    fn understood(self) -> Option<Thrown> {
        let Self { word, clients, limited } = self;
        let Some(clients) = clients else { return Some(Thrown { off: Some(word), limited }) };
        if limited.is_some() {
            return None;
        }
        let SwitchedOff { at, by, reason } = word;
        Some(Thrown { off: None, limited: Some(Limited { at, by: by?, reason, clients }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn off() -> SwitchedOff {
        let by = "user:0".parse().expect("a principal");
        SwitchedOff { at: Timestamp::UNIX_EPOCH, by: Some(by), reason: "bad release".into() }
    }

    fn limited() -> Limited {
        let principal = |text: &str| text.parse().expect("a principal");
        let clients = vec![principal("service:billing"), principal("user:7")];
        Limited { at: Timestamp::UNIX_EPOCH, by: principal("user:0"), reason: "OPS-17".into(), clients }
    }

    #[test]
    fn it_stands_as_it_was_left_and_what_cannot_be_read_is_off() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agent-system.json");
        let switch = Switch::open(&path);
        assert_eq!(switch.thrown(), Thrown::default());
        switch.set(Thrown::default()).expect("nothing to do");
        for (off, limited) in
            [(Some(off()), None), (None, Some(limited())), (Some(off()), Some(limited())), (None, None)]
        {
            let thrown = Thrown { off, limited };
            switch.set(thrown.clone()).expect("written");
            assert_eq!((switch.thrown(), Switch::open(&path).thrown()), (thrown.clone(), thrown));
        }
        assert!(!path.exists(), "on is no file");
        let torn = [
            "",
            "{",
            "{\"at\":1}",
            // Limited to whom?
            r#"{"at":"1970-01-01T00:00:00Z","by":"user:0","reason":"x","clients":"all"}"#,
            r#"{"at":"1970-01-01T00:00:00Z","by":"user:0","reason":"x","clients":["everybody"]}"#,
            r#"{"at":"1970-01-01T00:00:00Z","by":null,"reason":"x","clients":["user:0"]}"#,
        ];
        for torn in torn {
            fs::write(&path, torn).expect("written");
            let held = Switch::open(&path).thrown();
            let off = held.off.expect("off");
            assert!(off.reason.contains("agent-system.json") && held.limited.is_none(), "{torn}: {off:?}");
        }
    }

    #[test]
    fn who_knows_nothing_of_limits_reads_off() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("agent-system.json");
        for thrown in [
            Thrown { off: None, limited: Some(limited()) },
            Thrown { off: Some(off()), limited: Some(limited()) },
        ] {
            Switch::open(&path).set(thrown).expect("written");
            let text = fs::read(&path).expect("a file");
            serde_json::from_slice::<SwitchedOff>(&text).expect("as an older one reads it");
        }
        // And what an older one wrote is off.
        fs::write(&path, serde_json::to_vec(&off()).expect("text")).expect("written");
        assert_eq!(Switch::open(&path).thrown(), Thrown { off: Some(off()), limited: None });
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let switch = Switch::open(&home.path().join("gone/agent-system.json"));
        let refused = switch.set(Thrown { off: Some(off()), limited: None }).expect_err("no directory");
        assert!(refused.hint.is_some() && switch.thrown() == Thrown::default(), "{refused:?}");
    }
}
