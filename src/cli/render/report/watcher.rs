//! Progress while a run lasts.
use crate::{
    cli::{Ui, one_line},
    domain::Finding,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Progress on stderr while a run lasts: only where somebody looks, and not with --quiet.
pub struct Watcher {
    bar: ProgressBar,
    notable: u32,
}

impl Watcher {
    pub fn new(ui: &Ui) -> Self {
        let watched = !ui.quiet && std::io::stderr().is_terminal();
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, notable: 0 }
    }

    pub fn show(&mut self, total: u32, findings: &[Finding]) {
        self.bar.set_length(u64::from(total));
        for finding in findings {
            self.bar.inc(1);
            self.notable += u32::from(finding.is_trouble());
            let outcome = finding.outcome.as_str();
            self.bar.set_message(format!(
                "{} {outcome}: {} ({} not passed)",
                finding.id,
                one_line(&finding.title),
                self.notable
            ));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
