//! Metrics: what is kept for less time than the next coarser is made in, and what is finer and kept for longer.
use super::Verifier;
use crate::domain::Period;

/// Key, least, and how the least is written.
const LEAST: [(&str, Period, &str); 3] = [
    ("keep_ten_seconds", Period::secs(2 * 3600), "2h"),
    ("keep_minutes", Period::secs(2 * 86400), "2d"),
    ("keep_hours", Period::secs(7 * 86400), "7d"),
];
/// Beyond it, time itself ends.
const MOST: Period = Period::secs(100 * 365 * 86400);

impl Verifier<'_> {
    pub(super) fn metrics(&mut self) {
        let metrics = &self.settings.metrics;
        let kept = [metrics.keep_ten_seconds, metrics.keep_minutes, metrics.keep_hours];
        for (kept, (key, least, written)) in kept.into_iter().zip(LEAST) {
            let at = format!("/metrics/{key}");
            if kept < least {
                self.tell(
                    format!("`{key}` is {kept}; at least {written} is needed"),
                    &at,
                    "make it longer, or take it out",
                );
            } else if kept > MOST {
                self.tell(
                    format!("`{key}` is {kept}, which is longer than 100 years"),
                    &at,
                    "write it like 400d",
                );
            }
        }
        for (index, pair) in kept.windows(2).enumerate() {
            let [fine, coarse] = [LEAST[index].0, LEAST[index + 1].0];
            if pair[0] > pair[1] {
                let message =
                    format!("`{fine}` is {} and longer than `{coarse}`, which is {}", pair[0], pair[1]);
                let key = if self.root.find(&format!("/metrics/{fine}")).is_some() { fine } else { coarse };
                self.tell(message, &format!("/metrics/{key}"), "shorten the one or lengthen the other");
            }
        }
    }
}
