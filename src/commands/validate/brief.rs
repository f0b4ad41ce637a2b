//! For cron, which mails whatever is said: nothing of a run that holds, else the verdict and what is wrong.
use crate::{cli::one_line, domain::Report};
use std::fmt::Write;

pub fn brief(report: &Report) -> String {
    let what = match &report.checklist {
        Some(list) => {
            format!("deploy-check {} of {}, phase {}", report.run, one_line(&report.environment), list.phase)
        }
        None => format!(
            "validation {} of {}, score {:.2} to {:.2} of 100, bar {}",
            report.run,
            one_line(&report.environment),
            report.score.low,
            report.score.high,
            report.bar
        ),
    };
    let mut text = format!("{}: {what}\n", report.verdict_word());
    for wrong in report.unmet.iter().chain(&report.reasons) {
        let _ = writeln!(text, "  {}", one_line(wrong));
    }
    text
}
