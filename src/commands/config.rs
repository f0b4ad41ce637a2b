//! The manifest: check it, see what is in force and why, print its schema, have the daemon read it again.
use crate::{
    cli::{CliError, Ctl, Exit, Output, escape},
    config::{Loaded, Problems, Sources, json_schema, load},
    daemon::{App, ReloadReport, Route, kinds},
    domain::{AgentName, Audited, Caller, Fault, Permission},
    protocol::{Endpoint, Verb},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Check, show and reload agentd.toml.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Check a file, every environment in it included, without a daemon
    Check {
        /// The file [default: $AGENTD_CONFIG, ./agentd.toml, then the user's or the machine's]
        file: Option<PathBuf>,
        /// Check this environment alone
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
    },
    /// Show the settings that are in force with this file, defaults included
    View {
        /// The file [default: $AGENTD_CONFIG, ./agentd.toml, then the user's or the machine's]
        file: Option<PathBuf>,
        /// With this [environment.NAME] laid over it
        #[arg(long, value_name = "NAME")]
        environment: Option<String>,
        /// Say of each line where it comes from
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of the file
    Schema,
    /// Have the daemon read its file again and apply what changed
    Reload,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Request {}

struct Reload;
impl Endpoint for Reload {
    const NAME: &'static str = "config/reload";
    const VERB: Verb = Verb::Write;
    const NEEDS: Permission = Permission::PolicyChange;
    const AUDITED: Audited = Audited::Around;
    type Request = Request;
    type Reply = ReloadReport;
}

/// `config check` in a machine's format.
#[derive(Serialize)]
struct Checked {
    schema_version: u32,
    file: Option<PathBuf>,
    environment: String,
    environments: Vec<String>,
    agents: usize,
    instances: u32,
    dependencies: usize,
    digest: String,
}

pub fn routes() -> Vec<Route> {
    vec![Route::to::<Reload, _, _>(handle).given(|app| Box::pin(async move { app.manifest().await }))]
}

async fn handle(app: App, _caller: Caller, _request: Request) -> Result<ReloadReport, Fault> {
    app.reload().await
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.what {
        What::Check { file, environment } => check(Sources::from_process(file, environment), ctl),
        What::View { file, environment, origin } => {
            let sources = Sources::from_process(file, environment);
            match load(&sources, &kinds()) {
                Ok(loaded) => view(&loaded, origin, ctl),
                Err(problems) => refuse(&problems, ctl),
            }
        }
        What::Schema => {
            let schema = json_schema(&kinds());
            let text =
                serde_json::to_string_pretty(&schema).map_err(|e| CliError::Protocol(e.to_string()))?;
            ctl.ui.data(&(text + "\n"))?;
            Ok(Exit::Ok)
        }
        What::Reload => reload(ctl).await,
    }
}

fn check(sources: Sources, ctl: &Ctl) -> Result<Exit, CliError> {
    let kinds = kinds();
    if sources.file.is_none() {
        return Err(Fault::not_found("cannot find agentd.toml here or where it usually is")
            .hint("`agentctl init --template minimal` writes one to start from")
            .into());
    }
    let first = load(&sources, &kinds);
    // Every other environment must hold too: the day it is switched to is the wrong day to find out.
    let others: Vec<Problems> = match (&first, &sources.environment) {
        (Ok(loaded), None) => loaded
            .environments()
            .iter()
            .filter(|name| **name != loaded.settings.environment)
            .filter_map(|name| {
                load(&Sources { environment: Some(name.clone()), ..sources.clone() }, &kinds).err()
            })
            .collect(),
        _ => Vec::new(),
    };
    match first {
        Ok(loaded) if others.is_empty() => report(&loaded, ctl),
        Ok(_) => refuse(&Problems::joined(others), ctl),
        Err(problems) => refuse(&problems, ctl),
    }
}

fn report(loaded: &Loaded, ctl: &Ctl) -> Result<Exit, CliError> {
    let settings = &loaded.settings;
    let checked = Checked {
        schema_version: 1,
        file: loaded.file.clone(),
        environment: settings.environment.clone(),
        environments: loaded.environments().to_vec(),
        agents: settings.agents.len(),
        instances: settings.agents.iter().filter(|agent| agent.enabled).map(|agent| agent.replicas).sum(),
        dependencies: settings.dependencies.len(),
        digest: loaded.digest.clone(),
    };
    ctl.output.print(&ctl.ui, &checked, |_| {
        let file = checked.file.as_ref().map_or_else(|| "defaults".into(), |file| file.display().to_string());
        let others: Vec<&str> = (checked.environments.iter().map(String::as_str))
            .filter(|name| *name != checked.environment)
            .collect();
        let also = if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
        let line = format!(
            "{file} holds: {} ({} to run), {}, environment {}{also}\n",
            count(checked.agents, "agent", "agents"),
            count(usize::try_from(checked.instances).unwrap_or(usize::MAX), "instance", "instances"),
            count(checked.dependencies, "dependency", "dependencies"),
            checked.environment,
        );
        escape(&line)
    })?;
    if !loaded.warnings.is_empty() {
        ctl.ui.note(&loaded.warnings.render(ctl.ui.color_err));
    }
    Ok(Exit::Ok)
}

fn view(loaded: &Loaded, origin: bool, ctl: &Ctl) -> Result<Exit, CliError> {
    ctl.output.print(&ctl.ui, &loaded.effective(), |_| escape(&loaded.view(origin)))?;
    Ok(Exit::Ok)
}

/// The problems with their carets go to stderr in colour, if it has any; the exit code is that of a wrong configuration.
fn refuse(problems: &Problems, ctl: &Ctl) -> Result<Exit, CliError> {
    if matches!(ctl.output, Output::Json | Output::Yaml) {
        ctl.output.print(
            &ctl.ui,
            &serde_json::json!({ "schema_version": 1, "problems": problems.summary() }),
            |_| String::new(),
        )?;
    } else {
        ctl.ui.problems(&problems.headline(), &problems.render(ctl.ui.color_err));
    }
    Ok(Exit::Usage)
}

async fn reload(ctl: &Ctl) -> Result<Exit, CliError> {
    let report = ctl.client.call::<Reload>(&Request {}).await?;
    ctl.output.print(&ctl.ui, &report, |_| {
        let agents = &report.agents;
        let mut text = String::new();
        for (what, names) in [
            ("added", &agents.added),
            ("removed", &agents.removed),
            ("restarted", &agents.restarted),
            ("updated", &agents.updated),
        ] {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().map(AgentName::as_str).collect();
                text.push_str(&format!("{what:<10} {}\n", names.join(", ")));
            }
        }
        text.push_str(&format!("{:<10} {}\n", "unchanged", agents.unchanged));
        for key in &report.needs_restart {
            text.push_str(&format!("{:<10} {key}: restart the daemon for it to take effect\n", "waiting"));
        }
        for name in &report.unknown_names {
            text.push_str(&format!(
                "{:<10} {name}, under [access]: nobody here bears that name\n",
                "unknown"
            ));
        }
        escape(&text)
    })?;
    Ok(Exit::Ok)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// `UPDATE_GOLDEN=1` writes them anew; for the schema, so does `agentctl config schema`.
    #[test]
    fn what_dist_holds_is_what_we_would_write_today() {
        let schema = serde_json::to_string_pretty(&json_schema(&kinds())).expect("json") + "\n";
        let example =
            crate::config::TEMPLATES.iter().find(|template| template.name == "minimal").expect("minimal");
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
        for (name, text) in [("agentd.schema.json", &*schema), ("agentd.example.toml", example.text)] {
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(dist.join(name), text).expect("written");
            }
            let kept = std::fs::read_to_string(dist.join(name)).unwrap_or_default();
            assert!(kept == text, "dist/{name} differs from what is generated");
        }
    }

    #[test]
    fn the_schema_knows_the_options_of_each_kind_and_closes_every_table() {
        let schema = json_schema(&kinds());
        assert_eq!(schema["additionalProperties"], false);
        let of_agent = &schema["$defs"]["AgentSettings"];
        let kinds: Vec<&str> = of_agent["properties"]["kind"]["enum"]
            .as_array()
            .expect("kinds")
            .iter()
            .filter_map(serde_json::Value::as_str)
            .collect();
        assert!(kinds.contains(&"process") && kinds.contains(&"service"), "{kinds:?}");
        assert_eq!(of_agent["allOf"].as_array().map(Vec::len), Some(kinds.len()));
    }
}
