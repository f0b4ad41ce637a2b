//! The databases of the applications back to what the backup has of them; and, undone, to what they were.
use super::{
    BACKUP,
    hands::{Hands, backup, course},
};
use crate::{
    domain::{BackupId, Fault},
    operations::{Site, Step},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub struct RestoreExternal(pub Arc<Hands>);

impl Step for RestoreExternal {
    fn name(&self) -> &'static str {
        super::RESTORE_EXTERNAL
    }

    fn title(&self) -> &'static str {
        super::title(super::RESTORE_EXTERNAL)
    }

    fn run<'a>(&'a self, at: &'a Site) -> BoxFuture<'a, Result<Value, Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            let databases = put_back(&self.0, backup(&course)?.id.clone(), at).await?;
            Ok(json!({ "databases": databases }))
        })
    }

    /// All of them, whether or not they were reached: the backup of now has each as it was.
    fn undo<'a>(&'a self, at: &'a Site, _left: Option<&'a Value>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let course = course(at)?;
            if backup(&course)?.databases.is_empty() {
                return Ok(());
            }
            let made = at.left(BACKUP).and_then(|left| left["backup"].as_str()?.parse::<BackupId>().ok());
            let made = made.ok_or_else(|| Fault::internal("cannot undo it: there is no backup of before"))?;
            put_back(&self.0, made, at).await.map(drop)
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(3600)
    }
}

async fn put_back(hands: &Hands, id: BackupId, at: &Site) -> Result<Vec<String>, Fault> {
    hands.backups.put_back_databases(id, at.key(), |name| at.note(&format!("putting {name} back"))).await
}
