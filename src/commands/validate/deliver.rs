//! Where a report goes: to stdout as -o asks, to every --output-file, to GitHub's step summary. The exit code is the
//! report's own, whatever became of its formats.
use crate::{
    cli::{CliError, Ctl, Exit, Output, Ui, render},
    domain::{Fault, Report},
    readiness::REPORTERS,
};
use clap::ValueEnum;
use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// GitHub shows no larger summary of a step; of one that is larger it shows nothing.
const LARGEST_SUMMARY: u64 = 1 << 20;

/// Files that are to have the report too.
#[derive(clap::Args, Debug, Default)]
pub struct Files {
    /// Also write the report to a file, whatever the verdict: junit=report.xml; may be given again
    #[arg(long = "output-file", value_name = "FORMAT=PATH", value_parser = target)]
    targets: Vec<Target>,
}

#[derive(Clone, Debug)]
struct Target {
    format: Output,
    path: PathBuf,
}

impl Files {
    /// Before anything runs: is every path one that the report can be written to?
    pub fn check(&self) -> Result<(), Fault> {
        for (index, target) in self.targets.iter().enumerate() {
            if self.targets[..index].iter().any(|other| other.path == target.path) {
                let path = target.path.display();
                return Err(Fault::usage(format!("cannot write two formats to {path}")));
            }
            // Written there and gone again: whatever stands in the way does so now and not in ten minutes.
            beside(&target.path).map_err(|error| cannot(&target.path, &error))?;
        }
        Ok(())
    }

    /// Files first: a reader of stdout that goes away takes none of them along. There it says `said` instead of what
    /// -o asks, if there is such.
    pub fn deliver(&self, ctl: &Ctl, report: &Report, said: Option<String>) -> Result<Exit, CliError> {
        let exit = render::exit_of(report);
        let mut failed = None;
        for target in &self.targets {
            let written = text(target.format, report, None).and_then(|text| {
                write(&target.path, &text).map_err(|error| cannot(&target.path, &error).into())
            });
            if let Err(error) = written {
                ctl.ui.error(&error);
                failed = Some(Exit::Internal);
            }
        }
        if ctl.output == Output::Github || self.targets.iter().any(|target| target.format == Output::Github) {
            summarise(ctl, report);
        }
        let said = said.map_or_else(|| text(ctl.output, report, Some(&ctl.ui)), Ok)?;
        match ctl.ui.data(&said) {
            Ok(()) | Err(CliError::BrokenPipe) => {}
            Err(error) => return Err(error),
        }
        // A pass says that what was asked for is done; a verdict that is none speaks for itself.
        Ok(failed.filter(|_| exit == Exit::Ok).unwrap_or(exit))
    }
}

/// With `ui` for the terminal, without for a file: no colour, and no line is broken.
fn text(format: Output, report: &Report, ui: Option<&Ui>) -> Result<String, CliError> {
    let name = format.name();
    if let Some(reporter) = REPORTERS.iter().find(|reporter| reporter.name == name) {
        return Ok((reporter.render)(report)?);
    }
    let plain = Ui { color: false, color_err: false, quiet: true, terminal: false };
    match format {
        // Lists of a report are its findings.
        Output::Jsonl | Output::Name => format.render(&report.findings, |_| String::new()),
        _ => format.render(report, |wide| render::report(ui.unwrap_or(&plain), report, wide)),
    }
}

fn target(given: &str) -> Result<Target, String> {
    let formats = || {
        let names: Vec<String> = Output::value_variants().iter().map(|format| format.name()).collect();
        names.join(", ")
    };
    let (format, path) = given
        .split_once('=')
        .filter(|(_, path)| !path.is_empty())
        .ok_or_else(|| format!("not FORMAT=PATH, as in junit=report.xml; formats are {}", formats()))?;
    let format = Output::from_str(format, false)
        .map_err(|_| format!("`{}` is no format: there are {}", format.escape_debug(), formats()))?;
    Ok(Target { format, path: path.into() })
}

/// All of it or nothing: what stood there before stays until the whole text is on the disk.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let (mut file, place) = beside(path)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(place)?;
    Ok(())
}

/// A file of no name to anybody in the same directory, and what it is to be called. It has the mode of the one that
/// it replaces, or what the umask leaves of a new one.
fn beside(path: &Path) -> io::Result<(tempfile::NamedTempFile, PathBuf)> {
    // A link stays one; what it points to is replaced.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = match fs::metadata(&place) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(found) => {
            // Refused if it may not be written, though its directory would let it be replaced.
            fs::OpenOptions::new().write(true).open(&place)?;
            Some(found.permissions())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".agentctl-report-").permissions(fs::Permissions::from_mode(0o666));
    let file = builder.tempfile_in(directory)?;
    if let Some(mode) = mode {
        file.as_file().set_permissions(mode)?;
    }
    Ok((file, place))
}

fn cannot(path: &Path, error: &io::Error) -> Fault {
    // The name of the file that never comes to be helps nobody.
    let why = error.to_string();
    let why = why.split(" at path ").next().unwrap_or_default();
    Fault::usage(format!("cannot write the report to {}: {why}", path.display()))
        .hint("--output-file takes a file in a directory that exists and may be written")
}

/// Added to what earlier steps of the job wrote. That it cannot be is worth a word, and no other exit code.
fn summarise(ctl: &Ctl, report: &Report) {
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from)
    else {
        return;
    };
    let added = text(Output::Markdown, report, None).and_then(|text| {
        let held = fs::metadata(&path).map(|found| found.len()).unwrap_or_default();
        let room = LARGEST_SUMMARY.saturating_sub(held);
        let text = if text.len() as u64 <= room { text } else { too_large(report, text.len()) };
        let file = fs::OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
            Fault::usage(format!("cannot add to the step summary {}: {error}", path.display())).into()
        })
    });
    if let Err(error) = added {
        ctl.ui.error(&error);
    }
}

fn too_large(report: &Report, length: usize) -> String {
    format!(
        "# {}\n\nscore {} of 100. The report has {length} bytes, more than a step summary may: \
         keep it with `--output-file markdown=PATH`.\n",
        report.verdict.as_str(),
        report.score
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{ColorChoice, Global},
        domain::{Verdict, sample},
    };
    use std::os::unix::fs::symlink;

    fn files(targets: &[(&str, &Path)]) -> Files {
        let one = |(format, path): &(&str, &Path)| {
            target(&format!("{format}={}", path.display())).expect("a target")
        };
        Files { targets: targets.iter().map(one).collect() }
    }

    fn quietly() -> Ctl {
        let global = Global {
            socket: None,
            output: Output::Name,
            color: ColorChoice::Never,
            quiet: true,
            key_file: None,
            timeout: None,
        };
        Ctl::new(&global)
    }

    fn deliver(files: &Files, report: &Report) -> Exit {
        files.deliver(&quietly(), report, Some(String::new())).expect("delivered")
    }

    #[test]
    fn a_target_is_a_known_format_and_a_path() {
        let path = |text: &str| target(text).map(|target| target.path);
        assert_eq!(path("junit=a=b.xml"), Ok("a=b.xml".into()));
        for (text, why) in [
            ("junit", "not FORMAT=PATH"),
            ("junit=", "not FORMAT=PATH"),
            ("report.xml", "not FORMAT=PATH"),
            ("xml=report.xml", "`xml` is no format: there are table, wide, json"),
            ("\x1b[2J=x", "`\\u{1b}[2J` is no format"),
        ] {
            assert!(path(text).is_err_and(|error| error.contains(why)), "{text}");
        }
    }

    #[test]
    fn every_format_is_written_whole_whatever_the_verdict_and_nothing_lies_beside_it() {
        let home = tempfile::tempdir().expect("a directory");
        let paths: Vec<(String, PathBuf)> =
            Output::value_variants().iter().map(|o| (o.name(), home.path().join(o.name()))).collect();
        let targets: Vec<(&str, &Path)> =
            paths.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
        let files = files(&targets);
        files.check().expect("they can be written");
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0, "a look leaves nothing");
        assert_eq!(deliver(&files, &sample::rich()), Exit::Negative);
        for (name, path) in &paths {
            let text = fs::read_to_string(path).expect(name);
            assert!(!text.contains('\x1b') && text.contains("DB-003"), "{name}: {text}");
            assert_eq!(fs::metadata(path).expect(name).permissions().mode() & 0o177, 0o044, "{name}");
        }
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), paths.len());
    }

    #[test]
    fn what_cannot_be_written_is_told_before_anything_runs() {
        let home = tempfile::tempdir().expect("a directory");
        let (one, missing) = (home.path().join("one"), home.path().join("missing/report.xml"));
        for (targets, why) in [
            (vec![("junit", missing.as_path())], "cannot write the report to"),
            (vec![("junit", home.path())], "it is no regular file"),
            (vec![("junit", Path::new("/dev/null"))], "it is no regular file"),
            (vec![("junit", one.as_path()), ("html", one.as_path())], "cannot write two formats to"),
        ] {
            let fault = files(&targets).check().expect_err(why);
            assert!(fault.message.contains(why) && !fault.message.contains(".agentctl-report-"), "{fault}");
            assert_eq!(CliError::from(fault).exit(), Exit::Usage);
        }
        assert!(fs::metadata("/dev/null").is_ok_and(|found| !found.is_file()), "it is still what it was");
    }

    #[test]
    fn what_is_replaced_keeps_its_mode_and_a_link_stays_a_link() {
        let home = tempfile::tempdir().expect("a directory");
        let (old, link) = (home.path().join("old"), home.path().join("link"));
        fs::write(&old, "before").expect("written");
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).expect("set");
        symlink(&old, &link).expect("linked");
        write(&link, "after").expect("written");
        assert_eq!(fs::read_to_string(&old).expect("read"), "after");
        assert_eq!(fs::metadata(&old).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    }

    #[test]
    fn a_pass_that_could_not_be_written_is_none_and_a_verdict_stays_one() {
        let home = tempfile::tempdir().expect("a directory");
        let files = files(&[("json", &home.path().join("gone/report.json"))]);
        let ready = Report { verdict: Verdict::Ready, unmet: Vec::new(), ..sample::rich() };
        assert_eq!(deliver(&files, &ready), Exit::Internal);
        let open = Report { verdict: Verdict::Inconclusive, ..ready };
        assert_eq!(deliver(&files, &open), Exit::Inconclusive);
    }
}
