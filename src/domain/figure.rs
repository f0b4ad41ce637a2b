//! Figures for people: as few digits as tell them apart.

/// `340`, `12.5`, `0.25`
pub fn few_digits(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 && value.abs() < 1e6 => format!("{value:.0}"),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Bytes that need not be whole: `1.50 KiB`
pub fn in_bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value.abs() >= 1024.0 && unit < units.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", few_digits(value), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_few_digits_and_bytes_the_unit_that_fits() {
        for (value, text) in
            [(340.4, "340"), (12.54, "12.5"), (0.254, "0.25"), (7.0, "7"), (-1536.0, "-1536")]
        {
            assert_eq!(few_digits(value), text);
        }
        for (value, text) in [(0.0, "0 B"), (1536.0, "1.50 KiB"), (-3e6, "-2.86 MiB"), (1e16, "9095 TiB")] {
            assert_eq!(in_bytes(value), text);
        }
    }
}
