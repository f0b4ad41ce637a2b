//! Backups: two ways to encrypt at once, an age that no schedule could keep, databases that lack what their kind needs.
use super::{Verifier, shown};
use crate::config::{BackupDatabase, BackupDatabaseKind};
use std::collections::HashSet;

impl Verifier<'_> {
    pub(super) fn backups(&mut self) {
        let backups = &self.settings.backups;
        for (key, period) in [("max_age", backups.max_age), ("drill_max_age", backups.drill_max_age)] {
            self.not_zero(&format!("/backups/{key}"), period.0);
        }
        if let Some(every) = backups.every {
            self.not_zero("/backups/every", every.0);
            if every > backups.max_age {
                let message = format!(
                    "one is made every {every}, and none may be older than `max_age`, which is {}",
                    backups.max_age
                );
                self.tell(message, "/backups/every", "make `every` shorter than `max_age`");
            }
        }
        for (key, path) in [("dir", &backups.dir), ("key_file", &backups.key_file)] {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                let message = format!("`{key}` is not absolute, and the daemon may run anywhere");
                self.tell(message, &format!("/backups/{key}"), "write the whole path, from /");
            }
        }
        if backups.passphrase.is_some() && backups.key_file.is_some() {
            let message = "`passphrase` and `key_file` are two keys for one lock";
            self.tell(message, "/backups/key_file", "take one of them out");
        }
        if let Some(node) = self.root.find("/backups") {
            self.secrets(node, "", false);
        }
        let mut seen = HashSet::new();
        for (index, database) in backups.databases.iter().enumerate() {
            let at = format!("/backups/database/{index}");
            if !seen.insert(&database.name) {
                let message = format!("two databases are called `{}`", shown("name", &database.name));
                self.tell(message, &format!("{at}/name"), "give each a name of its own");
            }
            if !self.maimed.contains(&at) {
                self.backup_database(&at, database);
            }
        }
    }

    fn backup_database(&mut self, at: &str, database: &BackupDatabase) {
        self.not_zero(&format!("{at}/deadline"), database.deadline.0);
        match database.kind {
            BackupDatabaseKind::Postgres => {
                if database.url.is_none() {
                    self.tell("a postgres database needs `url`", at, "url = \"env:ORDERS_URL\"");
                }
                for (key, command) in [("dump", &database.dump), ("restore", &database.restore)] {
                    if !command.is_empty() {
                        let message = format!("`{key}` is for kind = \"command\"");
                        self.tell(
                            message,
                            &format!("{at}/{key}"),
                            "take it out; pg_dump and pg_restore are used",
                        );
                    }
                }
            }
            BackupDatabaseKind::Command => {
                if database.dump.is_empty() {
                    self.tell(
                        "a database of kind command needs `dump`",
                        at,
                        "dump = [\"PROGRAM\", \"ARGS\"]",
                    );
                }
                if database.drill_url.is_some() && database.restore.is_empty() {
                    let message = "a drill needs `restore`, or it could not try the dump out";
                    self.tell(message, &format!("{at}/drill_url"), "restore = [\"PROGRAM\", \"ARGS\"]");
                }
            }
        }
        if database.drill_url.is_some() && database.drill_url == database.url {
            let message = "a drill would replace the content of the database itself";
            self.tell(message, &format!("{at}/drill_url"), "name a database of its own for drills");
        }
    }
}
