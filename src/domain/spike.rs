//! Is a failure more frequent than it used to be? Judged against its own history, robustly: one bad night of the past
//! neither hides the next one nor makes every quiet hour look like one.
use serde::{Deserialize, Serialize};

/// Complete hours that must lie behind a failure before anything can be said of what is usual.
pub const LEAST_HISTORY: usize = 6;
/// How far back history goes: a week.
pub const MOST_HISTORY: usize = 7 * 24;
/// Makes the median deviation comparable with a standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// When a rate is a spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpikeRule {
    /// Fewer in an hour are none, however quiet it was before.
    pub minimum: u64,
    /// So many deviations above the median.
    pub factor: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spike {
    /// In this hour or the one before, whichever has more.
    pub count: u64,
    /// The median hour of its history.
    pub usual: f64,
    /// What an hour may have and be no spike.
    pub limit: f64,
}

/// `history` is of complete hours, in any order; `recent` the hour that is judged. None with too little history: what is
/// new is new, and no spike.
pub fn spike(history: &[u64], recent: u64, rule: SpikeRule) -> Option<Spike> {
    if history.len() < LEAST_HISTORY || recent < rule.minimum {
        return None;
    }
    let counts: Vec<f64> = history.iter().map(|count| *count as f64).collect();
    let usual = median(&counts);
    let deviations: Vec<f64> = counts.iter().map(|count| (count - usual).abs()).collect();
    // Where nearly every hour is the same, one more is no deviation yet.
    let deviation = (median(&deviations) * MAD_TO_DEVIATION).max(1.0);
    let limit = usual + rule.factor * deviation;
    (recent as f64 > limit).then_some(Spike { count: recent, usual, limit })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: SpikeRule = SpikeRule { minimum: 10, factor: 5.0 };

    #[test]
    fn only_more_than_its_own_usual_is_a_spike() {
        let mut with_one_bad_night = vec![2; 100];
        with_one_bad_night.extend([5000; 8]);
        let busy: Vec<u64> = (0..100).map(|n| 900 + n % 7 * 20).collect();
        for (history, recent, want) in [
            (vec![0; 24], 50, true),
            (vec![0; 24], 9, false),     // too few to speak of
            (vec![0; 5], 500, false),    // too little history
            (busy.clone(), 1100, false), // as every hour
            (busy, 3000, true),
            (with_one_bad_night.clone(), 40, true),
            (with_one_bad_night, 6, false),
            (vec![100; 24], 104, false),
            (vec![100; 24], 106, true),
        ] {
            assert_eq!(spike(&history, recent, RULE).is_some(), want, "{recent} after {history:?}");
        }
        let seen = spike(&[4; 24], 90, RULE).expect("a spike");
        assert!((seen.usual - 4.0).abs() < 1e-9 && (seen.limit - 9.0).abs() < 1e-9, "{seen:?}");
    }
}
