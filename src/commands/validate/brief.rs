//! For cron, which mails whatever is said: nothing of a run that holds, else the verdict and what is wrong.
use crate::{cli::one_line, domain::Report};
use std::fmt::Write;

pub fn brief(report: &Report) -> String {
    let mut text = format!(
        "{}: validation {} of {}, score {:.2} to {:.2} of 100, bar {}\n",
        report.verdict.as_str(),
        report.run,
        one_line(&report.environment),
        report.score.low,
        report.score.high,
        report.bar
    );
    for wrong in report.unmet.iter().chain(&report.reasons) {
        let _ = writeln!(text, "  {}", one_line(wrong));
    }
    text
}
