//! A bare table of scores and what somebody claims that they amount to: both means, computed again.
use crate::domain::Fault;
use serde::Serialize;

/// More rows than this are no table of categories.
const MOST: usize = 10_000;
const HEAVIEST: f64 = 1e9;
const LOUDEST: f64 = 1e6;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    pub rows: usize,
    /// Every category counting the same.
    pub equal_mean: f64,
    /// By the table's own weights; none if it gives none.
    pub weighted_mean: Option<f64>,
    pub claimed: Option<f64>,
    /// Half a unit of the last digit that the claim was written with.
    pub tolerance: f64,
}

impl Claim {
    /// A claim is held against the weights that come with it, where there are such. None is claimed, none is broken.
    pub fn holds(&self) -> bool {
        let mean = self.weighted_mean.unwrap_or(self.equal_mean);
        self.claimed.is_none_or(|claimed| (claimed - mean).abs() <= self.tolerance)
    }
}

struct Row {
    name: String,
    score: f64,
    weight: Option<f64>,
}

/// `category,score,weight` a line, the head and the weights as one likes, and one line `claimed,89.8`.
pub fn claim(text: &str) -> Result<Claim, Fault> {
    let mut rows: Vec<Row> = Vec::new();
    let mut claimed = None;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut first = true;
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |why: String| {
            Fault::usage(format!("cannot read the table: line {number}: {why}"))
                .hint("a line is `category,score,weight`; one may be `claimed,89.8`; a report in JSON is taken as well")
        };
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"').trim()).collect();
        let (name, score, weight) = match fields[..] {
            [name, score] | [name, score, ""] => (name, score, None),
            [name, score, weight] => (name, score, Some(weight)),
            _ => return Err(wrong(format!("{} fields, and not 2 or 3", fields.len()))),
        };
        let head = std::mem::take(&mut first) && score.eq_ignore_ascii_case("score");
        if head {
            continue;
        }
        if name.eq_ignore_ascii_case("claimed") {
            let value = within(score, -LOUDEST, LOUDEST).map_err(wrong)?;
            if claimed.replace((value, score)).is_some() {
                return Err(wrong("a second claim".into()));
            }
            continue;
        }
        if name.is_empty() || rows.iter().any(|row| row.name.eq_ignore_ascii_case(name)) {
            return Err(wrong(if name.is_empty() {
                "no category".into()
            } else {
                format!("{name} is there twice")
            }));
        }
        let score = within(score, 0.0, 100.0).map_err(wrong)?;
        let weight = weight.map(|weight| within(weight, 0.0, HEAVIEST)).transpose().map_err(wrong)?;
        if rows.first().is_some_and(|row| row.weight.is_some() != weight.is_some()) {
            return Err(wrong("either every category has a weight or none".into()));
        }
        if rows.len() == MOST {
            return Err(wrong(format!("more than {MOST} categories")));
        }
        rows.push(Row { name: name.into(), score, weight });
    }
    if rows.is_empty() {
        return Err(Fault::usage("cannot read the table: it has no category")
            .hint("a line is `category,score,weight`; a report in JSON is taken as well"));
    }
    Ok(Claim {
        equal_mean: rounded(rows.iter().map(|row| row.score).sum::<f64>() / rows.len() as f64),
        weighted_mean: weighted(&rows)?,
        rows: rows.len(),
        claimed: claimed.map(|(value, _)| value),
        tolerance: claimed.map_or(0.0, |(_, written)| half_a_unit(written)),
    })
}

fn weighted(rows: &[Row]) -> Result<Option<f64>, Fault> {
    if rows.iter().all(|row| row.weight.is_none()) {
        return Ok(None);
    }
    let total: f64 = rows.iter().filter_map(|row| row.weight).sum();
    if total <= 0.0 {
        return Err(Fault::usage("cannot read the table: all of its weights are 0"));
    }
    let sum: f64 = rows.iter().map(|row| row.score * row.weight.unwrap_or_default()).sum();
    Ok(Some(rounded(sum / total)))
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
    let number: f64 = text.parse().map_err(|_| format!("`{}` is no number", shown()))?;
    if number.is_finite() && (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{} is not within {least} and {most}", shown()))
    }
}

/// 89.8 may be anything that rounds to it.
fn half_a_unit(written: &str) -> f64 {
    let decimals = match written.split_once('.') {
        // An exponent moves the point: then nothing is granted but what a float loses.
        _ if written.contains(['e', 'E']) => 12,
        Some((_, decimals)) => i32::try_from(decimals.len()).unwrap_or(12).min(12),
        None => 0,
    };
    0.5 * 10_f64.powi(-decimals) + 1e-9
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of document 000 and what it printed below it.
    const DOCUMENT_000: &str = include_str!("../../fixtures/report/document-000.csv");

    #[test]
    fn document_000_claims_what_its_own_figures_do_not_amount_to() {
        let claim = claim(DOCUMENT_000).expect("a table");
        assert_eq!((claim.rows, claim.equal_mean, claim.weighted_mean), (8, 78.25, Some(83.05)));
        assert_eq!((claim.claimed, claim.holds()), (Some(89.8), false));
    }

    #[test]
    fn a_claim_holds_as_far_as_it_was_written() {
        for (text, holds) in [
            ("a,95,20\nb,90,20\nclaimed,92.5", true),
            ("a,95,20\nb,90,20\nclaimed,93", true),
            ("a,95,20\nb,90,20\nclaimed,92.50", true),
            ("a,95,20\nb,90,20\nclaimed,92.51", false),
            ("a,95,20\nb,90,20\nclaimed,9.25e1", true),
            ("a,95,20\nb,90,20\nclaimed,111.2", false),
            ("a,95,20\nb,90,20", true),
            ("a,100,1\nb,0,0\nclaimed,50", false),
            ("a,100\nb,0\nclaimed,50", true),
            ("category,score,weight\n# a note\n\n\"a\", 10 ,1\nCLAIMED,10,\n", true),
        ] {
            assert_eq!(
                claim(text).map(|claim| claim.holds()).map_err(|fault| fault.message),
                Ok(holds),
                "{text}"
            );
        }
    }

    #[test]
    fn hostile_numbers_are_refused_with_their_line() {
        for (text, why) in [
            ("a,NaN,1", "line 1: NaN is not within 0 and 100"),
            ("a,1,1\nb,inf,1", "line 2: inf is not within"),
            ("a,1e308,1", "line 1: 1e308 is not within"),
            ("a,1,1\n\nb,2,1e308", "line 3: 1e308 is not within"),
            ("a,-1,1", "line 1: -1 is not within"),
            ("a,1,-1", "line 1: -1 is not within"),
            ("a,101.5,1", "line 1: 101.5 is not within"),
            ("a,1,1\nA,2,1", "line 2: A is there twice"),
            ("a,1,1\nclaimed,1\nclaimed,2", "line 3: a second claim"),
            ("a,1,1\nclaimed,NaN", "line 2: NaN is not within"),
            ("a,1,1\nclaimed,1e308", "line 2: 1e308 is not within"),
            ("a,1,1\nb,2", "line 2: either every category has a weight or none"),
            ("a,95/100,1", "line 1: `95/100` is no number"),
            ("a,\x1b[2J,1", "line 1: `\\u{1b}[2J` is no number"),
            ("a", "line 1: 1 fields"),
            ("a,1,1,1", "line 1: 4 fields"),
            (",1,1", "line 1: no category"),
            ("a,1,0\nb,2,0", "all of its weights are 0"),
            ("category,score,weight\nclaimed,1", "no category"),
            ("", "no category"),
        ] {
            let fault = claim(text).expect_err(text);
            assert!(fault.message.contains(why), "{text:?}: {}", fault.message);
        }
        let many: String = (0..=MOST).map(|n| format!("c{n},1\n")).collect();
        assert!(claim(&many).is_err_and(|fault| fault.message.contains("more than 10000")));
    }
}
