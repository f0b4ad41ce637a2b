//! What a run is to be held against, as it is named on the command line; a file is read here, and the daemon is sent
//! what it needs of it.
use crate::{
    cli::CliError,
    commands::report,
    domain::{Report, RunId},
    readiness::Baseline,
};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Last,
    Run(RunId),
    File(PathBuf),
}

/// A file that is called like a number takes a `./` before it.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a parser that may fail")]
pub fn named(text: &str) -> Result<Named, String> {
    Ok(match (text, text.parse()) {
        ("last", _) => Named::Last,
        (_, Ok(run)) => Named::Run(run),
        (path, Err(_)) => Named::File(path.into()),
    })
}

pub fn read(named: &Named) -> Result<Baseline, CliError> {
    Ok(match named {
        Named::Last => Baseline::Last,
        Named::Run(run) => Baseline::Run(*run),
        Named::File(path) => {
            let hint =
                "--baseline takes `last`, a run's number, or a file written by `agentctl validate -o json`";
            let report = report::read(path).map_err(|fault| fault.hint(hint))?;
            let report = Box::new(lean(report));
            Baseline::Report { name: path.display().to_string(), report }
        }
    })
}

/// Without what no comparison looks at, so that it fits in a request.
fn lean(mut report: Report) -> Report {
    report.reasons.clear();
    report.waivers.clear();
    for finding in &mut report.findings {
        finding.evidence.clear();
        finding.affected.clear();
        finding.hint = None;
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_a_number_or_a_file() {
        let table = [
            ("last", Named::Last),
            ("12", Named::Run(RunId(12))),
            ("./12", Named::File("./12".into())),
            ("main.json", Named::File("main.json".into())),
        ];
        for (text, wanted) in table {
            assert_eq!(named(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_report_of_ours_is_refused_with_the_reason() {
        let home = tempfile::tempdir().expect("a directory");
        let table = [
            ("", "EOF"),
            ("[]", "cannot read a report"),
            (r#"{"schema_version": 2}"#, "of version 2"),
            (r#"{"schema_version": "1"}"#, "invalid type: string"),
            (r#"{"schema_version": 1}"#, "missing field"),
        ];
        for (text, why) in table {
            let path = home.path().join("report.json");
            std::fs::write(&path, text).expect("written");
            let error = read(&Named::File(path)).expect_err(text);
            assert!(error.to_string().contains(why) && error.hint().is_some(), "{text}: {error}");
        }
        assert!(read(&Named::File("/dev/zero".into())).is_err(), "it would read for ever");
        assert!(read(&Named::File(home.path().into())).is_err(), "a directory");
    }
}
