//! Numbers as a line of bars, for an eye that looks for a shape.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// From 0 to `top`: a line that is stretched to its own extremes makes a drama of every tenth.
pub fn bar(value: f64, top: f64) -> char {
    let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let step = (share * 7.0).round() as usize;
    BARS[step.min(7)]
}

/// Counts, each against the largest; an hour with none is a blank, so that one failure is told from no failure.
pub fn counts(values: &[u64]) -> String {
    let top = values.iter().copied().max().unwrap_or(0) as f64;
    values.iter().map(|count| if *count == 0 { '·' } else { bar(*count as f64, top) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_told_from_few_and_the_most_is_the_tallest() {
        assert_eq!(counts(&[0, 1, 50, 100]), "·▁▅█");
        assert_eq!((counts(&[]).as_str(), counts(&[0]).as_str()), ("", "·"));
        assert_eq!(
            (bar(-5.0, 100.0), bar(100.0, 100.0), bar(f64::NAN, 100.0), bar(1.0, 0.0)),
            ('▁', '█', '▁', '▁')
        );
    }
}
