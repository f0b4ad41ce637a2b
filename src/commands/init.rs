//! Writes a manifest to start from.
use crate::{
    cli::{CliError, Ctl, Exit},
    config::{TEMPLATES, Template},
    daemon::Route,
    domain::{Fault, FaultKind},
};
use serde::Serialize;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Write a commented agentd.toml to start from.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Which fleet to start from; --list shows them
    #[arg(long, value_name = "NAME", default_value = "minimal", value_parser = known)]
    template: &'static Template,
    /// List the templates
    #[arg(long)]
    list: bool,
    /// Overwrite an agentd.toml that is there
    #[arg(long)]
    force: bool,
    /// Where to write it
    #[arg(default_value = ".")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    about: &'static str,
}

pub fn routes() -> Vec<Route> {
    Vec::new()
}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    if args.list {
        let lines: Vec<Line> = TEMPLATES.iter().map(|t| Line { name: t.name, about: t.about }).collect();
        ctl.output.print(&ctl.ui, &lines, |_| {
            lines.iter().map(|line| format!("{:<14} {}\n", line.name, line.about)).collect()
        })?;
        return Ok(Exit::Ok);
    }
    let root = rustix::process::geteuid().is_root();
    let path = write(&proposed(args.template.text, root), &args.dir, args.force)?;
    ctl.ui.data(&format!("{}\n", path.display()))?;
    ctl.ui.note(&format!(
        "next: agentctl config check {path}\n      agentctl daemon start --config {path}\n      agentctl status",
        path = path.display()
    ));
    Ok(Exit::Ok)
}

fn known(name: &str) -> Result<&'static Template, String> {
    TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| {
        let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
        let near = names.iter().find(|known| strsim::damerau_levenshtein(known, name) <= 3);
        match near {
            Some(near) => format!("there is no template of this name; did you mean {near}?"),
            None => format!("there is no template of this name; there are {}", names.join(", ")),
        }
    })
}

/// Under root each agent is to have a user of its own: that is so without a word in the file, and written down it is
/// seen. Nobody else can give them one, and the file says what that means.
fn proposed(template: &str, root: bool) -> String {
    let mut text = String::new();
    let (mut of_agent, mut first) = (false, true);
    for line in template.lines() {
        if line == "[[agent]]" && first && !root {
            text.push_str(SHARED);
        }
        text.push_str(line);
        text.push('\n');
        if of_agent && line.starts_with("name = ") && root {
            text.push_str(if first { OWN } else { "user = \"auto\"\n" });
        }
        first &= !of_agent;
        of_agent = line == "[[agent]]";
    }
    text
}

const OWN: &str = "user = \"auto\" # a user of its own: it cannot act as you, nor as another agent\n";
const SHARED: &str = "# Run by root, agentd gives each agent a user of its own (user = \"auto\"). Run by you it cannot: nothing \
                      then separates\n# an agent from you, and what needs an approval is refused.\n\n";

/// Whole or not at all: written beside it, then moved into place.
fn write(text: &str, dir: &Path, force: bool) -> Result<PathBuf, Fault> {
    let path = dir.join("agentd.toml");
    let cannot = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Fault::new(FaultKind::Conflict, format!("cannot write {}: it exists", path.display()))
                .hint("--force overwrites it");
        }
        Fault::usage(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(cannot)?;
    let draft = dir.join(format!(".agentd.toml.{}", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link refuses to replace what is there, a rename does not.
        if force { fs::rename(&draft, &path) } else { fs::hard_link(&draft, &path) }
    })();
    if !force || written.is_err() {
        let _ = fs::remove_file(&draft); // moved already, or of no use
    }
    written.map_err(cannot)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    fn template(name: &str) -> &'static Template {
        known(name).expect("a template")
    }

    #[test]
    fn it_writes_a_private_file_and_overwrites_only_if_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = write(template("minimal").text, dir.path(), false).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        fs::write(&path, "mine").expect("changed");
        let fault = write(template("holistic").text, dir.path(), false).expect_err("overwritten");
        assert_eq!(fault.kind, FaultKind::Conflict);
        assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
        write(template("holistic").text, dir.path(), true).expect("forced");
        assert_eq!(fs::read_to_string(&path).expect("there"), template("holistic").text);
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "a draft was left");
    }

    #[test]
    fn every_template_passes_the_check_in_every_environment() {
        let kinds = crate::daemon::kinds();
        for template in TEMPLATES {
            let dir = tempfile::tempdir().expect("a directory");
            for environment in [None, Some("staging"), Some("production")] {
                let environment = environment.map(str::to_owned);
                let root = rustix::process::geteuid().is_root();
                let file = write(&proposed(template.text, root), dir.path(), true).expect("written");
                let sources = Sources { environment, ..Sources::file(&file) };
                let loaded = load(&sources, &kinds).unwrap_or_else(|problems| panic!("{problems}"));
                for agent in &loaded.settings.agents {
                    assert!(agent.owner.is_some() && agent.limits.memory.is_some(), "{}", agent.name);
                    assert!(!agent.probes.is_empty() && !agent.capabilities.is_empty(), "{}", agent.name);
                }
            }
        }
    }

    #[test]
    fn under_root_every_agent_is_given_a_user_of_its_own_in_so_many_words() {
        let kinds = crate::daemon::kinds();
        for template in TEMPLATES {
            let shared = proposed(template.text, false);
            assert_eq!(shared.replace(SHARED, ""), template.text.trim_end().to_owned() + "\n");
            assert_eq!(shared.matches("what needs an approval is refused").count(), 1, "{}", template.name);
            let dir = tempfile::tempdir().expect("a directory");
            let file = write(&proposed(template.text, true), dir.path(), false).expect("written");
            let loaded = load(&Sources::file(&file), &kinds).unwrap_or_else(|problems| panic!("{problems}"));
            assert!(loaded.settings.agents.iter().all(|agent| agent.user.as_deref() == Some("auto")));
            let text = fs::read_to_string(&file).expect("there");
            assert_eq!(text.matches("cannot act as you").count(), 1, "{}", template.name);
        }
    }

    #[test]
    fn templates_have_as_many_agents_as_the_documents_say() {
        let tiers = |name: &str| {
            let parsed: toml::Table =
                template(name).text.replacen("environment = \"dev\"", "", 1).parse().expect("toml");
            let mut tiers: BTreeMap<String, usize> = BTreeMap::new();
            for agent in parsed["agent"].as_array().expect("agents") {
                *tiers.entry(agent["tier"].as_str().expect("a tier").to_owned()).or_default() += 1;
            }
            tiers
        };
        let wanted = [("essential", 47), ("revenue", 76), ("operational", 52), ("advanced", 49)];
        assert_eq!(tiers("support"), wanted.map(|(tier, count)| (tier.to_owned(), count)).into());
        let wanted = [("core-business", 5), ("operations", 4), ("support-security", 4), ("enterprise", 3)];
        assert_eq!(tiers("ecommerce"), wanted.map(|(tier, count)| (tier.to_owned(), count)).into());
        for (name, count) in [("minimal", 1), ("bookedbarber", 8), ("holistic", 6)] {
            assert_eq!(tiers(name).values().sum::<usize>(), count, "{name}");
        }
    }
}
