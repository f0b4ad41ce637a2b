//! How a report is read, the same in every format: worst first, what is waived apart, figures as short as they are
//! exact.
use super::{Comparison, Finding, Interval, Outcome, Report, Waived, Waiver};
use jiff::Timestamp;
use std::fmt;

impl Outcome {
    /// The worst is 0.
    pub fn rank(self) -> u8 {
        match self {
            Self::Fail => 0,
            Self::Error => 1,
            Self::Timeout => 2,
            Self::Skipped => 3,
            Self::Warn => 4,
            Self::Pass => 5,
            Self::NotApplicable => 6,
        }
    }
}

impl Finding {
    /// It did not pass, and should have.
    pub fn is_trouble(&self) -> bool {
        !matches!(self.outcome, Outcome::Pass | Outcome::NotApplicable)
    }
}

impl Report {
    /// The day that it was judged for.
    pub fn judged_at(&self) -> Timestamp {
        self.as_of.unwrap_or(self.started_at)
    }

    /// What did not pass and nobody answers for: the worst first, gates before the rest, then in print order.
    pub fn trouble(&self) -> Vec<&Finding> {
        self.worst_first(|finding| finding.is_trouble() && finding.waived.is_none())
    }

    /// What did not pass and somebody answers for.
    pub fn waived(&self) -> Vec<&Finding> {
        self.worst_first(|finding| finding.is_trouble() && finding.waived.is_some())
    }

    /// What passed or does not apply.
    pub fn quiet(&self) -> Vec<&Finding> {
        self.worst_first(|finding| !finding.is_trouble())
    }

    /// Waivers that no longer speak for anything on the day that was judged for.
    pub fn lapsed(&self) -> Vec<&Waiver> {
        let day = self.judged_at();
        self.waivers.iter().filter(|waiver| waiver.has_lapsed(day)).collect()
    }

    /// Waivers in force for which no finding was there to lift.
    pub fn idle(&self) -> Vec<&Waiver> {
        let day = self.judged_at();
        let used = |id: u64| self.findings.iter().any(|f| f.waived.as_ref().is_some_and(|w| w.waiver == id));
        self.waivers.iter().filter(|waiver| !waiver.has_lapsed(day) && !used(waiver.id)).collect()
    }

    fn worst_first(&self, wanted: impl Fn(&Finding) -> bool) -> Vec<&Finding> {
        let mut chosen: Vec<&Finding> = self.findings.iter().filter(|finding| wanted(finding)).collect();
        chosen.sort_by_key(|finding| (finding.outcome.rank(), finding.severity)); // stable: print order within
        chosen
    }
}

impl Waiver {
    fn has_lapsed(&self, day: Timestamp) -> bool {
        self.revoked_at.is_some() || self.expires_at <= day
    }

    /// Who answers for what, until when or since when no longer, and why; as of a day.
    pub fn sentence(&self, day: Timestamp) -> String {
        let Self { id, check, owner, reason, .. } = self;
        let whole = self.resource.as_ref().map(|resource| format!(" for {resource}")).unwrap_or_default();
        let until = match self.revoked_at {
            Some(revoked) => format!("revoked {}", date(revoked)),
            None if self.expires_at <= day => format!("expired {}", date(self.expires_at)),
            None => format!("expires {}", date(self.expires_at)),
        };
        format!("{check}{whole}: waiver {id} of {owner}, {until}: {reason}")
    }
}

impl Waived {
    pub fn sentence(&self) -> String {
        let Self { waiver, owner, reason, expires_at } = self;
        format!("{owner} answers for it until {} (waiver {waiver}): {reason}", date(*expires_at))
    }
}

impl Comparison {
    /// What moved, the bad first, and the ids that did; nothing of what did not move.
    pub fn moves(&self) -> Vec<(&'static str, &[String])> {
        let all = [
            ("regressed", &self.regressed),
            ("new", &self.new),
            ("gone", &self.gone),
            ("improved", &self.improved),
        ];
        all.into_iter().filter(|(_, ids)| !ids.is_empty()).map(|(word, ids)| (word, ids.as_slice())).collect()
    }

    /// `+4.5 points since run 11`
    pub fn sentence(&self) -> String {
        if self.change == 0.0 {
            return format!("no change at the low end since {}", self.against);
        }
        let sign = if self.change < 0.0 { "-" } else { "+" };
        format!("{sign}{} points at the low end since {}", short(self.change.abs()), self.against)
    }
}

/// Rounded down: what is not all covered is never 100 %.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0 + 1e-9).floor())
}

/// To the second, in UTC.
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// `83.05`, or `60–100` where something is not known.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (short(self.low), short(self.high));
        if low == high { f.pad(&low) } else { f.pad(&format!("{low}–{high}")) }
    }
}

/// At most two decimals.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    #[test]
    fn figures_are_as_short_as_they_can_be() {
        for (low, high, text) in [
            (83.05, 83.05, "83.05"),
            (60.0, 100.0, "60–100"),
            (0.0, 0.0, "0"),
            (33.333_333, 66.666_667, "33.33–66.67"),
            (0.29, 0.57, "0.29–0.57"),
        ] {
            assert_eq!(Interval { low, high }.to_string(), text);
        }
    }

    #[test]
    fn every_finding_is_in_exactly_one_group_and_the_worst_leads() {
        let report = sample::rich();
        let groups = [report.trouble(), report.waived(), report.quiet()];
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), report.findings.len());
        let [trouble, waived, quiet] = groups.map(|g| g.iter().map(|f| f.id.as_str()).collect::<Vec<_>>());
        assert_eq!(trouble, ["DB-003", "CF-002", "AO-001", "HM-002", "PE-001", "AU-004"]);
        assert_eq!(waived, ["SE-002"]);
        assert_eq!(quiet, ["EH-001", "DB-001", "APP-001", "HM-003"]);
        let ids = |waivers: Vec<&Waiver>| waivers.iter().map(|w| w.id).collect::<Vec<_>>();
        assert_eq!((ids(report.lapsed()), ids(report.idle())), (vec![2, 3], vec![4]));
    }
}
