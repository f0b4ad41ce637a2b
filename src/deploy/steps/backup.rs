//! A backup of what is there now, verified, before anything is changed: what the way itself might lose.
use super::hands::{Hands, course};
use crate::{
    domain::Fault,
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub struct Backup(pub Arc<Hands>);

impl Step for Backup {
    fn name(&self) -> &'static str {
        super::BACKUP
    }

    fn title(&self) -> &'static str {
        super::title(super::BACKUP)
    }

    /// One a step: run again after a crash, it finds the one that it made.
    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let (course, backups) = (course(at)?, &self.0.backups);
            let mine = |note: &str| note.split(' ').next() == Some(at.key());
            let made = backups.list().await?.into_iter().find(|entry| {
                entry.is_sound() && entry.manifest.as_ref().is_some_and(|manifest| mine(&manifest.note))
            });
            let entry = if let Some(entry) = made {
                entry
            } else {
                let note = format!("{} {}", at.key(), course.reason);
                backups.create(course.by.to_string(), note, Arc::new(|_| ())).await?
            };
            Ok(json!({ "backup": entry.id }))
        })
    }

    /// It harms nobody, and goes when others are newer.
    fn undo<'a>(&'a self, _at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }
}
