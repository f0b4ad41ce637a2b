//! What a verdict looks like and what it amounts to.
use crate::{
    cli::Exit,
    domain::{Report, Verdict},
};

/// A demand that is not met is 1 whatever the verdict; else READY and PARTIAL 0, NOT READY 1, INCONCLUSIVE 3.
pub fn exit_of(report: &Report) -> Exit {
    match report.verdict {
        _ if !report.unmet.is_empty() => Exit::Negative,
        Verdict::Ready | Verdict::Partial => Exit::Ok,
        Verdict::NotReady => Exit::Negative,
        Verdict::Inconclusive => Exit::Inconclusive,
    }
}

pub fn verdict_style(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ready => "1;32",
        Verdict::NotReady => "1;31",
        Verdict::Inconclusive => "1;33",
        Verdict::Partial => "1;36",
    }
}
