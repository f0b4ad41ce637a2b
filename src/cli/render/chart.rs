//! A figure over time for the terminal: a chart with axes, and a line of bars for a cell. What was not seen is a gap.
//! Braille where the terminal speaks UTF-8, else ASCII.
use super::sparkline;
use jiff::Timestamp;
use std::{env, fmt::Write};

/// Rows of a chart, its axis aside.
const HEIGHT: usize = 9;
/// Of the figures themselves: a chart shows no less.
const LEAST_SPAN: f64 = 0.1;
const NARROWEST: usize = 24;
const WIDEST: usize = 160;

/// What a chart is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    Braille,
    Ascii,
}

/// What is drawn: values by when their step begins, oldest first.
pub struct Plot<'a> {
    pub points: &'a [(Timestamp, f64)],
    pub since: Timestamp,
    pub until: Timestamp,
    pub step_s: u64,
}

impl Glyphs {
    /// By the locale, as programs are told; the console of Linux has no glyphs for Braille.
    pub fn of_terminal() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default();
        let speaks = locale.to_ascii_lowercase().replace('-', "").ends_with("utf8");
        let console = variable("TERM").is_some_and(|term| term == "linux" || term == "dumb");
        if speaks && !console { Self::Braille } else { Self::Ascii }
    }

    /// Dots of a cell: across and down.
    fn dots(self) -> (usize, usize) {
        match self {
            Self::Braille => (2, 4),
            Self::Ascii => (1, 1),
        }
    }
}

/// Bars from 0 to the largest; a gap is a dot in the middle, which no bar is.
pub fn bars(values: &[Option<f64>], glyphs: Glyphs) -> String {
    const PLAIN: [char; 8] = ['_', '-', '~', '=', '+', '*', '%', '#'];
    let top = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: f64| match glyphs {
        Glyphs::Braille => sparkline::bar(value, top),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        Glyphs::Ascii => {
            PLAIN[if top > 0.0 { ((value / top).clamp(0.0, 1.0) * 7.0).round() as usize } else { 0 }]
        }
    };
    let gap = if glyphs == Glyphs::Braille { '·' } else { '.' };
    values.iter().map(|value| value.map_or(gap, bar)).collect()
}

/// Lines of at most `width` columns; `figure` writes what stands at the axis, `paint` colours what is drawn.
pub fn chart(
    plot: &Plot<'_>,
    width: usize,
    glyphs: Glyphs,
    figure: impl Fn(f64) -> String,
    paint: impl Fn(&str) -> String,
) -> String {
    let values = plot.points.iter().map(|(_, value)| *value);
    let (low, high) = range(values);
    let middle = f64::midpoint(low, high);
    let labels = [(0, figure(high)), (HEIGHT / 2, figure(middle)), (HEIGHT - 1, figure(low))];
    let margin = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let columns = width.clamp(NARROWEST, WIDEST).saturating_sub(margin + 3).max(8);
    let cells = drawn(plot, columns, (low, high), glyphs);
    let (upright, corner, level) = match glyphs {
        Glyphs::Braille => ('│', '└', '─'),
        Glyphs::Ascii => ('|', '+', '-'),
    };
    let mut text = String::new();
    for (row, line) in cells.iter().enumerate() {
        let label = labels.iter().find(|(at, _)| *at == row).map_or("", |(_, label)| label);
        let line: String = line.iter().collect();
        let line = line.trim_end();
        let painted = if line.is_empty() { String::new() } else { paint(line) };
        let _ = writeln!(text, " {label:>margin$} {upright}{painted}");
    }
    let _ = writeln!(text, " {:margin$} {corner}{}", "", level.to_string().repeat(columns));
    let _ = writeln!(text, " {:margin$}  {}", "", times(plot, columns));
    text
}

/// From 0 where that hides nothing: else a leak of a tenth could not be seen. What hardly moves is not stretched to its
/// own extremes: a thousandth would look like a drama.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    if low >= 0.0 && low < high * 0.7 {
        return (0.0, high);
    }
    let least = low.abs().max(high.abs()) * LEAST_SPAN;
    let missing = (least - (high / 2.0 - low / 2.0) * 2.0).max(0.0);
    let (low, high) = (low - missing / 2.0, high + missing / 2.0);
    if high > low { (low, high) } else { (0.0, 1.0) }
}

/// Neighbours are joined, and nothing is drawn across a gap.
fn drawn(plot: &Plot<'_>, columns: usize, (low, high): (f64, f64), glyphs: Glyphs) -> Vec<Vec<char>> {
    let (across, down) = glyphs.dots();
    let (wide, tall) = (columns * across, HEIGHT * down);
    let length = plot.until.duration_since(plot.since).as_secs_f64().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the canvas")]
    let dot = |share: f64, dots: usize| (share.clamp(0.0, 1.0) * (dots - 1) as f64).round() as usize;
    let place = |(at, value): &(Timestamp, f64)| {
        let x = dot(at.duration_since(plot.since).as_secs_f64() / length, wide);
        (x, tall - 1 - dot((value - low) / (high - low), tall))
    };
    let mut dots = vec![vec![false; tall]; wide];
    let mut before: Option<(Timestamp, (usize, usize))> = None;
    for point in plot.points {
        let (x, y) = place(point);
        dots[x][y] = true;
        let joined =
            before.filter(|(at, _)| point.0.duration_since(*at).as_secs_f64() <= plot.step_s as f64 * 1.01);
        if let Some((_, (from, height))) = joined {
            // Each column from where the one before it ended: what is steep is a line, not dots.
            let mut row = height;
            for (column, dots) in dots.iter_mut().enumerate().take(x + 1).skip(from) {
                let share = if x > from { (column - from) as f64 / (x - from) as f64 } else { 1.0 };
                let to = height as f64 + (y as f64 - height as f64) * share;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between two rows"
                )]
                let to = (to.round() as usize).min(tall - 1);
                dots[row.min(to)..=row.max(to)].fill(true);
                row = to;
            }
        }
        before = Some((point.0, (x, y)));
    }
    let cell = |row: usize, column: usize| match glyphs {
        Glyphs::Ascii => {
            if dots[column][row] {
                '*'
            } else {
                ' '
            }
        }
        Glyphs::Braille => braille(|x, y| dots[column * across + x][row * down + y]),
    };
    (0..HEIGHT).map(|row| (0..columns).map(|column| cell(row, column)).collect()).collect()
}

/// Unicode numbers the dots of a cell 1, 2, 3, 7 down on the left and 4, 5, 6, 8 on the right.
fn braille(is_set: impl Fn(usize, usize) -> bool) -> char {
    const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let mut bits = 0;
    for (x, column) in BITS.iter().enumerate() {
        for (y, bit) in column.iter().enumerate() {
            bits |= if is_set(x, y) { *bit } else { 0 };
        }
    }
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + bits).unwrap_or('*') }
}

/// Begin, middle and end; with the day where it is more than one.
fn times(plot: &Plot<'_>, columns: usize) -> String {
    let days = plot.until.duration_since(plot.since).as_hours() >= 24;
    let write = |at: Timestamp| at.strftime(if days { "%m-%d %H:%MZ" } else { "%H:%MZ" }).to_string();
    let half = plot.until.duration_since(plot.since) / 2;
    let (first, middle, last) = (write(plot.since), write(plot.since + half), write(plot.until));
    let room = columns.saturating_sub(first.len() + middle.len() + last.len());
    if room < 4 {
        return format!(
            "{first}{}{last}",
            " ".repeat(columns.saturating_sub(first.len() + last.len()).max(1))
        );
    }
    let left = (columns / 2).saturating_sub(first.len() + middle.len() / 2).max(1);
    format!("{first}{}{middle}{}{last}", " ".repeat(left), " ".repeat(room.saturating_sub(left).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("a time")
    }

    fn drawn_with(points: &[(Timestamp, f64)], width: usize, glyphs: Glyphs) -> String {
        let plot = Plot { points, since: at(0), until: at(3600), step_s: 60 };
        chart(&plot, width, glyphs, |value| format!("{value:.0}"), str::to_owned)
    }

    #[test]
    fn a_rise_goes_up_and_a_gap_is_blank() {
        let points: Vec<_> =
            (0..60).filter(|n| !(20..40).contains(n)).map(|n| (at(n * 60), n as f64)).collect();
        let text = drawn_with(&points, 70, Glyphs::Ascii);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 2, "{text}");
        assert!(lines[0].starts_with(" 59 |") && lines[0].ends_with('*'), "{text}");
        assert!(lines[HEIGHT - 1].starts_with("  0 |***"), "{text}");
        let column = |n: usize| lines[..HEIGHT].iter().any(|line| line.chars().nth(5 + n) == Some('*'));
        assert!(column(5) && !column(31) && !column(35) && column(60), "{text}");
        assert!(lines[HEIGHT + 1].contains("22:13Z") && lines[HEIGHT + 1].ends_with("23:13Z"), "{text}");
    }

    #[test]
    fn a_level_line_and_none_at_all_are_drawn_too() {
        assert!(drawn_with(&[], 60, Glyphs::Ascii).contains("0 |"));
        let level: Vec<_> = (0..60).map(|n| (at(n * 60), 5.0)).collect();
        let text = drawn_with(&level, 60, Glyphs::Braille);
        assert!(text.contains('⠉') || text.contains('⣀') || text.contains('⠒'), "{text}");
    }

    #[test]
    fn what_hardly_moves_looks_so() {
        assert_eq!(range([0.0, 50.0].into_iter()), (0.0, 50.0));
        let (low, high) = range([100.0, 100.1].into_iter());
        assert!(low < 96.0 && high > 104.0, "{low} {high}");
        let (low, high) = range([80.0, 100.0].into_iter());
        assert!((79.9..80.1).contains(&low) && (99.9..100.1).contains(&high), "{low} {high}");
        assert_eq!((range([0.0].into_iter()), range([f64::NAN].into_iter())), ((0.0, 1.0), (0.0, 1.0)));
    }

    #[test]
    fn the_locale_decides_the_glyphs() {
        let of = |pairs: &'static [(&str, &str)]| {
            Glyphs::of(|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[("LANG", "en_US.UTF-8")]), Glyphs::Braille);
        assert_eq!(of(&[("LANG", "C.utf8"), ("TERM", "xterm")]), Glyphs::Braille);
        assert_eq!(of(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]), Glyphs::Ascii);
        assert_eq!(of(&[("LANG", "en_US.UTF-8"), ("TERM", "linux")]), Glyphs::Ascii);
        assert_eq!(of(&[]), Glyphs::Ascii);
    }

    #[test]
    fn bars_tell_a_gap_from_nothing() {
        let values = [Some(0.0), None, Some(50.0), Some(100.0)];
        assert_eq!(
            (bars(&values, Glyphs::Braille).as_str(), bars(&values, Glyphs::Ascii).as_str()),
            ("▁·▅█", "_.+#")
        );
        assert_eq!(bars(&[], Glyphs::Ascii), "");
    }

    proptest! {
        #[test]
        fn no_figures_panic_or_leave_the_width(
            values in proptest::collection::vec((0_i64..4000, any::<f64>()), 0..80), width in 0_usize..300, braille in any::<bool>()
        ) {
            let mut points: Vec<_> = values.into_iter().map(|(second, value)| (at(second), value)).collect();
            points.sort_by_key(|(at, _)| *at);
            let glyphs = if braille { Glyphs::Braille } else { Glyphs::Ascii };
            let plot = Plot { points: &points, since: at(0), until: at(3600), step_s: 60 };
            let text = chart(&plot, width, glyphs, |_| "12.3 MiB".into(), str::to_owned);
            let most = width.clamp(NARROWEST, WIDEST);
            for line in text.lines() {
                prop_assert!(line.chars().count() <= most, "{line}");
            }
        }
    }
}
