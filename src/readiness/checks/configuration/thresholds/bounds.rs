//! What is asserted of one subject in several places: bounds that differ or exclude each other.
use crate::config::Settings;
use serde_json::Value;
use std::collections::BTreeMap;

/// One assertion on a value that can be named.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// What is measured: `orders http /metrics $.error_rate`.
    pub subject: String,
    /// Assertions of another grade (a liveness beside a readiness) may be looser on purpose.
    pub grade: String,
    /// Who asserts it: `orders/probe.ready`.
    pub at: String,
    pub want: Want,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// Below this, or at most it.
    Below(f64),
    /// Above this, or at least it.
    Above(f64),
    Exactly(String),
}

/// All assertions of probes and dependencies on JSON values.
pub fn of(settings: &Settings) -> Vec<Bound> {
    let mut found = Vec::new();
    for agent in settings.agents.iter().filter(|agent| agent.enabled) {
        for probe in &agent.probes {
            let at = format!("{}/probe.{}", agent.name, probe.name);
            let grade = format!("{:?}", probe.role);
            json(agent.name.as_str(), &probe.kind, &probe.options, &grade, &at, &mut found);
        }
    }
    for dependency in &settings.dependencies {
        let at = format!("dependency.{}", dependency.name);
        // One dependency has one set of assertions; two that ask the same URL are compared by it.
        json("", &dependency.kind, &dependency.options, "dependency", &at, &mut found);
    }
    found
}

/// Where two of them stand, and why they cannot both be meant.
pub fn conflicts(bounds: &[Bound]) -> Vec<(String, String)> {
    let mut by_subject: BTreeMap<&str, Vec<&Bound>> = BTreeMap::new();
    for bound in bounds {
        by_subject.entry(&bound.subject).or_default().push(bound);
    }
    let mut found = Vec::new();
    for bounds in by_subject.values() {
        for (index, first) in bounds.iter().enumerate() {
            for second in &bounds[index + 1..] {
                if let Some(why) = conflict(first, second) {
                    found.push((format!("{} and {}", first.at, second.at), why));
                }
            }
        }
    }
    found
}

fn conflict(first: &Bound, second: &Bound) -> Option<String> {
    use Want::{Above, Below, Exactly};
    let subject = &first.subject;
    let same_grade = first.grade == second.grade;
    match (&first.want, &second.want) {
        (Below(a), Below(b)) | (Above(a), Above(b)) if same_grade && a.total_cmp(b).is_ne() => {
            Some(format!("of {subject} one asserts {} and the other {}", first.want, second.want))
        }
        (Below(most), Above(least)) | (Above(least), Below(most)) if least > most => Some(format!(
            "of {subject} one asserts {} and the other {}: nothing is both",
            first.want, second.want
        )),
        (Exactly(a), Exactly(b)) if a != b => Some(format!("{subject} cannot be both `{a}` and `{b}`")),
        _ => None,
    }
}

impl std::fmt::Display for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(bound) => write!(f, "< {bound}"),
            Self::Above(bound) => write!(f, "> {bound}"),
            Self::Exactly(value) => write!(f, "`{value}`"),
        }
    }
}

fn json(by: &str, kind: &str, options: &Value, grade: &str, at: &str, found: &mut Vec<Bound>) {
    let Some(wants) = options.pointer("/expect/json").and_then(Value::as_object) else { return };
    let text =
        |key: &str| options.get(key).map(|value| value.as_str().map_or(value.to_string(), ToOwned::to_owned));
    let place: Vec<String> = ["method", "url", "port", "path"].into_iter().filter_map(text).collect();
    for (path, want) in wants {
        let Some(want) = parse(want) else { continue };
        let subject = [by, kind, &place.join(" "), path].join(" ");
        found.push(Bound { subject: subject.trim().into(), grade: grade.into(), at: at.into(), want });
    }
}

/// As a probe's `expect` writes it; what is neither a bound nor a plain value (`/regex/`, `!= x`) bounds nothing.
fn parse(want: &Value) -> Option<Want> {
    let text = match want {
        Value::String(text) => text.trim(),
        other => return Some(Want::Exactly(other.to_string())),
    };
    let number = |rest: &str| rest.trim().parse::<f64>().ok();
    for sign in ["<=", "<"] {
        if let Some(rest) = text.strip_prefix(sign) {
            return number(rest).map(Want::Below);
        }
    }
    for sign in [">=", ">"] {
        if let Some(rest) = text.strip_prefix(sign) {
            return number(rest).map(Want::Above);
        }
    }
    (!text.starts_with(['!', '/', '=', '~'])).then(|| Want::Exactly(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_looser_bound_of_another_grade_is_meant_and_another_subject_is_another_matter() {
        let bound = |subject: &str, grade: &str, want| Bound {
            subject: subject.into(),
            grade: grade.into(),
            at: grade.into(),
            want,
        };
        let table = [
            (bound("a", "r", Want::Below(0.01)), bound("a", "r", Want::Below(0.001)), true),
            (bound("a", "r", Want::Below(0.01)), bound("a", "l", Want::Below(0.5)), false),
            (bound("a", "r", Want::Below(0.01)), bound("b", "r", Want::Below(0.001)), false),
            (bound("a", "r", Want::Below(1.0)), bound("a", "l", Want::Above(2.0)), true),
            (bound("a", "r", Want::Below(2.0)), bound("a", "l", Want::Above(1.0)), false),
        ];
        for (first, second, conflicts) in table {
            assert_eq!(!super::conflicts(&[first.clone(), second]).is_empty(), conflicts, "{first:?}");
        }
    }

    #[test]
    fn what_bounds_nothing_is_left_alone() {
        for text in ["/up|ok/", "!= down", "< many"] {
            assert_eq!(parse(&Value::from(text)), None, "{text}");
        }
        assert_eq!(parse(&Value::from("<= 0.5")), Some(Want::Below(0.5)));
        assert_eq!(parse(&Value::from(3)), Some(Want::Exactly("3".into())));
    }
}
