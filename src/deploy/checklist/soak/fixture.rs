//! What the tests of soak items share: points as a recorder leaves them. Compiled for tests only.
use crate::{
    domain::{Labels, Point},
    metrics::Trace,
};
use jiff::{SignedDuration, Timestamp};

/// A full hour.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_699_999_200).expect("a time") + SignedDuration::from_secs(second)
}

/// One every ten seconds; nothing where there is none.
pub fn points(values: impl IntoIterator<Item = Option<f64>>) -> Vec<Point> {
    let numbered = (0_i64..).zip(values);
    numbered
        .filter_map(|(n, value)| {
            let value = value?;
            Some(Point { at: at(n * 10), value, min: value, max: value, count: 1 })
        })
        .collect()
}

pub fn trace(labels: Labels, points: Vec<Point>) -> Trace {
    let whole = points.first().map(|first| {
        let sum: f64 = points.iter().map(|point| point.value).sum();
        Point { value: sum / points.len() as f64, count: points.len() as u64, ..*first }
    });
    Trace { labels, whole, points }
}

pub fn instance(name: &str) -> Labels {
    let agent = name.split('/').next().unwrap_or(name);
    Labels::of([("agent", agent), ("instance", name)])
}
