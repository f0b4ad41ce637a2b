//! The terminal's end of `agentctl backup`.
use super::{
    args::{Action, Args},
    offline,
    serve::{
        Create, CreateRequest, Delete, DrillRequest, Drills, IdRequest, List, ListDrills, ListRequest,
        Listed, Looked, One, Restore, RestoreRequest, Restored, Show, Try, Verify,
    },
};
use crate::{
    cli::{CliError, Ctl, Exit, Output, Table, confirm, one_line, render::age},
    commands::operation::{Made, made},
    domain::{BackupEntry, BackupManifest, Drill, Fault, Part},
};
use jiff::Timestamp;
use std::path::{Path, PathBuf};

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::Create { note, detach } => {
            let request = CreateRequest { note: note.unwrap_or_default() };
            let begun = ctl.client.call::<Create>(&request).await?;
            let left = match made(ctl, &begun, detach).await? {
                Made::Left(left) => left,
                Made::Later(exit) => return Ok(exit),
            };
            let id = serde_json::from_value(left["backup"].clone())
                .map_err(|error| CliError::Protocol(format!("no backup is named: {error}")))?;
            let made = ctl.client.call::<Show>(&IdRequest { id }).await?;
            match ctl.output {
                Output::Name => ctl.ui.data(&format!("{}\n", made.backup.id))?,
                output => output.print(&ctl.ui, &made, |_| created(&made))?,
            }
        }
        Action::List { offline } => {
            let listed = match &offline.from {
                Some(from) => offline::list(from).await?,
                None => ctl.client.call::<List>(&ListRequest {}).await?,
            };
            ctl.output.print(&ctl.ui, &listed, |wide| table(ctl, &listed, wide))?;
        }
        Action::Show { id } => {
            let shown = ctl.client.call::<Show>(&IdRequest { id }).await?;
            ctl.output.print(&ctl.ui, &shown, |_| page(&shown))?;
        }
        Action::Verify { id, offline } => {
            let looked = match &offline.from {
                Some(from) => offline::verify(id, from, &offline).await?,
                None => ctl.client.call::<Verify>(&IdRequest { id }).await?,
            };
            ctl.output.print(&ctl.ui, &looked, |_| verdict(&looked))?;
            if !looked.verified.problems.is_empty() {
                return Ok(Exit::Negative);
            }
        }
        Action::Restore { id, to, offline } => {
            let to = absolute(&to)?;
            let restored = match &offline.from {
                Some(from) => offline::restore(id, to, from, &offline).await?,
                None => ctl.client.call::<Restore>(&RestoreRequest { id, to }).await?,
            };
            ctl.output.print(&ctl.ui, &restored, |_| unpacked(&restored))?;
        }
        Action::Drill { list: true, .. } => {
            let drills = ctl.client.call::<ListDrills>(&ListRequest {}).await?;
            ctl.output.print(&ctl.ui, &drills, |wide| drilled(ctl, &drills, wide))?;
        }
        Action::Drill { id, list: false } => {
            let held = ctl.client.call::<Try>(&DrillRequest { id }).await?;
            ctl.output.print(&ctl.ui, &held, |_| outcome(&held.drill))?;
            if !held.drill.passed() {
                return Ok(Exit::Negative);
            }
        }
        Action::Delete { id, yes } => {
            confirm(&format!("delete backup {id} for good"), yes)?;
            let deleted = ctl.client.call::<Delete>(&IdRequest { id }).await?;
            ctl.output.print(&ctl.ui, &deleted, |_| format!("backup {} is deleted\n", deleted.id))?;
        }
    }
    Ok(Exit::Ok)
}

fn created(made: &One) -> String {
    let manifest = made.backup.manifest.as_ref();
    let locked = manifest.is_some_and(|manifest| manifest.encryption.is_some());
    let how = if locked { "encrypted and verified" } else { "verified" };
    format!("backup {}: {}, {how}\n", made.backup.id, size(manifest.map_or(0, BackupManifest::bytes)))
}

/// The daemon stands elsewhere.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    let found = std::path::absolute(path);
    Ok(found.map_err(|error| Fault::usage(format!("cannot unpack to {}: {error}", path.display())))?)
}

fn table(ctl: &Ctl, listed: &Listed, wide: bool) -> String {
    if listed.backups.is_empty() {
        return "there is no backup\n".into();
    }
    let now = Timestamp::now();
    let mut head = vec!["ID", "AGE", "SIZE", "STANDING", "BY"];
    head.extend(wide.then_some(["FILES", "ENCRYPTED", "VERIFIED"]).into_iter().flatten());
    head.push("NOTE");
    let mut table = Table::new(&head).figures(&[2]).painted(3, &ctl.ui, |word| match word {
        "verified" => Some("32"),
        "damaged" => Some("31"),
        _ => Some("33"),
    });
    for entry in &listed.backups {
        let manifest = entry.manifest.as_ref();
        let mut row = vec![
            entry.id.to_string(),
            manifest.map_or_else(|| "?".into(), |manifest| age(manifest.at, now)),
            manifest.map_or_else(|| "?".into(), |manifest| size(manifest.bytes())),
            standing(entry).into(),
            manifest.map_or_else(|| "?".into(), |manifest| manifest.by.clone()),
        ];
        if wide {
            let locked = manifest.is_some_and(|manifest| manifest.encryption.is_some());
            row.push(manifest.map_or(0, |manifest| manifest.files.len()).to_string());
            row.push(if locked { "yes" } else { "no" }.into());
            row.push(entry.verified.as_ref().map_or_else(|| "never".into(), |verified| minute(verified.at)));
        }
        let trouble = entry.verified.iter().flat_map(|verified| &verified.problems).next();
        let note = manifest.map_or("", |manifest| manifest.note.as_str());
        row.push(entry.damage.as_ref().or(trouble).map_or(note, String::as_str).to_owned());
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn standing(entry: &BackupEntry) -> &'static str {
    if !entry.is_sound() {
        "damaged"
    } else if entry.is_verified() {
        "verified"
    } else {
        "unverified"
    }
}

fn page(shown: &One) -> String {
    let entry = &shown.backup;
    let mut text = format!("backup      {}\n", entry.id);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12}{}\n", one_line(value)));
    line("standing", standing(entry));
    if let Some(damage) = &entry.damage {
        line("damage", damage);
    }
    if let Some(verified) = &entry.verified {
        line("verified", &format!("{} by {}", minute(verified.at), verified.by));
        verified.problems.iter().for_each(|problem| line("problem", problem));
    }
    if let Some(manifest) = &entry.manifest {
        line("made", &format!("{} by {}, agentd {}", minute(manifest.at), manifest.by, manifest.agentd));
        if !manifest.note.is_empty() {
            line("note", &manifest.note);
        }
        let rows: u64 = manifest.content.tables.values().map(|table| table.rows).sum();
        line("database", &format!("version {}, {rows} rows", manifest.content.version));
        line("content", &manifest.content.digest.to_string());
        if !manifest.trail_whole {
            line("warning", "the audit trail did not verify when this was made");
        }
        if !manifest.configuration_sound {
            line("warning", "the configuration file could not be read when this was made");
        }
        line("encrypted", if manifest.encryption.is_some() { "yes" } else { "no" });
        for file in &manifest.files {
            line("file", &format!("{} ({}), {}", file.name, part(file.part), size(file.bytes)));
        }
        manifest.not_included.iter().for_each(|what| line("not in it", what));
    }
    for drill in &shown.drills {
        line("drill", outcome(drill).trim_end());
    }
    text
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Database => "the daemon's database",
        Part::AuditKey => "the key of the audit trail",
        Part::AuditAnchors => "the anchors of the audit trail",
        Part::Configuration => "the configuration",
        Part::Dump => "a dump of a database",
    }
}

fn verdict(looked: &Looked) -> String {
    if looked.verified.problems.is_empty() {
        return format!("backup {} is as it was made\n", looked.id);
    }
    let problems = looked.verified.problems.iter().map(|problem| format!("  {}\n", one_line(problem)));
    format!("backup {} is DAMAGED:\n{}", looked.id, problems.collect::<String>())
}

fn unpacked(restored: &Restored) -> String {
    let to = one_line(&restored.to.display().to_string());
    let not = restored.backup.not_included.iter().map(|what| format!("  {}\n", one_line(what)));
    format!(
        "backup {} of {} is in {to}, {} files\nnot in it:\n{}",
        restored.backup.id,
        minute(restored.backup.at),
        restored.backup.files.len(),
        not.collect::<String>()
    )
}

fn drilled(ctl: &Ctl, drills: &Drills, wide: bool) -> String {
    if drills.drills.is_empty() {
        return "no backup was ever tried out\n".into();
    }
    let mut table = Table::new(&["DRILL", "BACKUP", "AT", "BY", "RPO", "RTO", "RESULT"])
        .figures(&[0])
        .painted(6, &ctl.ui, |word| Some(if word == "passed" { "32" } else { "31" }));
    for drill in &drills.drills {
        table.row([
            drill.id.to_string(),
            drill.backup.to_string(),
            minute(drill.at),
            drill.by.clone(),
            drill.rpo.to_string(),
            drill.rto.to_string(),
            drill.problems.first().cloned().unwrap_or_else(|| "passed".into()),
        ]);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn outcome(drill: &Drill) -> String {
    let Drill { id, backup, rpo, rto, .. } = drill;
    let told = format!("drill {id} of backup {backup}: it was {rpo} old (RPO), restored in {rto} (RTO)");
    match drill.problems.first() {
        None => format!("{told}, and is what it was made of\n"),
        Some(problem) => format!("{told}, and FAILED: {}\n", one_line(problem)),
    }
}

/// In the largest unit of which there is more than one.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
