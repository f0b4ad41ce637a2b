//! What was measured → lines for people.
use super::serve::{Answer, Listed, Ranking};
use crate::{
    cli::{
        Ctl, Table, one_line,
        render::chart::{Glyphs, Plot, bars, chart},
    },
    domain::{Labels, MetricKind, MetricUnit, Stat, few_digits, in_bytes},
    metrics::{Overview, Told, Trace},
};

/// More series than that are a table.
const MOST_CHARTS: usize = 3;
/// Bars of a cell.
const BARS: usize = 24;
const WIDTH: usize = 80;

pub fn list(ctl: &Ctl, list: &Listed, wide: bool) -> String {
    if list.metrics.is_empty() {
        return "nothing was measured yet: agentd looks every ten seconds\n".into();
    }
    let glyphs = Glyphs::of_terminal();
    let mut table = Table::new(&["NAME", "SERIES", "LAST 5M", "LAST HOUR", "KIND", "WHAT"]).figures(&[1, 2]);
    for Overview { name, kind, unit, about, series, recent } in &list.metrics {
        let last = recent.iter().rev().take(2).find_map(|value| *value);
        table.row([
            name.clone(),
            series.to_string(),
            last.map_or_else(String::new, |value| figure(value, *unit, default_of(*kind))),
            bars(recent, glyphs),
            kind.as_str().into(),
            about.clone(),
        ]);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

/// The series of one name.
pub fn series(ctl: &Ctl, answer: &Answer, wide: bool) -> String {
    table(ctl, &answer.told, wide)
}

pub fn query(ctl: &Ctl, answer: &Answer, wide: bool) -> String {
    let told = &answer.told;
    if told.series.iter().all(|trace| trace.points.is_empty()) {
        return format!(
            "nothing was measured of {} from {} to {}\n",
            one_line(&told.name),
            told.since.strftime("%Y-%m-%d %H:%MZ"),
            told.until.strftime("%H:%MZ")
        );
    }
    if told.series.len() > MOST_CHARTS {
        let lines = table(ctl, told, wide);
        ctl.ui.note(&format!("{} series: --label shows a chart of one", told.series.len()));
        return lines;
    }
    told.series.iter().map(|trace| charted(ctl, told, trace)).collect::<Vec<_>>().join("\n")
}

pub fn top(ctl: &Ctl, top: &Ranking, left_out: usize, wide: bool) -> String {
    if top.agents.is_empty() {
        return "no agent was seen in this time: agentd looks every ten seconds\n".into();
    }
    let head = ["INSTANCE", "CPU", "CPU MAX", "MEMORY", "MEMORY MAX", "LOOKS"];
    let mut table = Table::new(&head).figures(&[1, 2, 3, 4, 5]);
    let told =
        |value: Option<f64>, unit, stat| value.map_or_else(|| "?".into(), |value| figure(value, unit, stat));
    for used in &top.agents {
        table.row([
            used.instance.clone(),
            told(used.cpu, MetricUnit::Seconds, Stat::Rate),
            told(used.cpu_max, MetricUnit::Seconds, Stat::Rate),
            told(used.memory_bytes, MetricUnit::Bytes, Stat::Avg),
            told(used.memory_bytes_max, MetricUnit::Bytes, Stat::Max),
            used.looks.to_string(),
        ]);
    }
    if left_out > 0 {
        ctl.ui.note(&format!("{left_out} more: --limit"));
    }
    if top.observed < 0.99 {
        ctl.ui
            .note(&format!("{:.0}% of this time was observed; the rest is not known", top.observed * 100.0));
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn table(ctl: &Ctl, told: &Told, wide: bool) -> String {
    let glyphs = Glyphs::of_terminal();
    let stat = told.stat.as_str().to_uppercase();
    let head = ["SERIES", "LAST", "MIN", &stat, "MAX", "OVER TIME"];
    let mut table = Table::new(&head).figures(&[1, 2, 3, 4]);
    for trace in &told.series {
        let write =
            |value: Option<f64>| value.map_or_else(String::new, |value| figure(value, told.unit, told.stat));
        table.row([
            named(&told.name, &trace.labels),
            write(trace.points.last().map(|point| point.value)),
            write(trace.whole.map(|whole| whole.min)),
            write(trace.whole.map(|whole| whole.value)),
            write(trace.whole.map(|whole| whole.max)),
            bars(&over_time(told, trace), glyphs),
        ]);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}

fn charted(ctl: &Ctl, told: &Told, trace: &Trace) -> String {
    let write = |value| figure(value, told.unit, told.stat);
    let mut text = ctl.ui.paint("1", &one_line(&named(&told.name, &trace.labels)));
    let Some(whole) = trace.whole else { return text + "  nothing in this time\n" };
    text.push_str(&format!(
        "  {} {}, {} to {}, in steps of {}\n",
        told.stat.as_str(),
        write(whole.value),
        write(whole.min),
        write(whole.max),
        crate::domain::Period::secs(told.step_s)
    ));
    let points: Vec<_> = trace.points.iter().map(|point| (point.at, point.value)).collect();
    let plot = Plot { points: &points, since: told.since, until: told.until, step_s: told.step_s };
    let width = ctl.ui.width().unwrap_or(WIDTH);
    text.push_str(&chart(&plot, width, Glyphs::of_terminal(), write, |line| ctl.ui.paint("36", line)));
    let steps = steps(told);
    if trace.points.len() < steps {
        text.push_str(&format!(" {} of {steps} steps have something; blank is not 0\n", trace.points.len()));
    }
    text
}

/// As many as a cell holds: each the largest of its part, nothing for a gap.
fn over_time(told: &Told, trace: &Trace) -> Vec<Option<f64>> {
    let cells = BARS.min(steps(told)).max(1);
    let length = told.until.duration_since(told.since).as_secs_f64().max(1.0);
    let mut bars = vec![None; cells];
    for point in &trace.points {
        let share = point.at.duration_since(told.since).as_secs_f64() / length;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let cell = ((share.clamp(0.0, 1.0) * cells as f64) as usize).min(cells - 1);
        bars[cell] = Some(bars[cell].map_or(point.value, |most: f64| most.max(point.value)));
    }
    bars
}

fn steps(told: &Told) -> usize {
    let length = told.until.as_second().saturating_sub(told.since.as_second());
    usize::try_from(length.unsigned_abs().div_ceil(told.step_s.max(1))).unwrap_or(usize::MAX)
}

fn named(name: &str, labels: &Labels) -> String {
    let labels: Vec<String> = labels.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

fn default_of(kind: MetricKind) -> Stat {
    match kind {
        MetricKind::Gauge => Stat::Avg,
        MetricKind::Counter => Stat::Rate,
        MetricKind::Histogram => Stat::P50,
    }
}

/// With its unit; three figures are as many as anybody reads.
fn figure(value: f64, unit: MetricUnit, stat: Stat) -> String {
    // The least and the most of a counter are rates, too.
    let total = stat == Stat::Sum;
    match unit {
        MetricUnit::Bytes => in_bytes(value),
        MetricUnit::Milliseconds => format!("{} ms", few_digits(value)),
        MetricUnit::Seconds if total => format!("{} s", few_digits(value)),
        MetricUnit::Seconds => format!("{:.1}%", value * 100.0),
        MetricUnit::Count if stat == Stat::Rate => format!("{}/s", few_digits(value)),
        MetricUnit::Count | MetricUnit::Flag => few_digits(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units() {
        for (value, unit, stat, want) in [
            (1536.0, MetricUnit::Bytes, Stat::Avg, "1.50 KiB"),
            (0.25, MetricUnit::Seconds, Stat::Rate, "25.0%"),
            (3.0, MetricUnit::Seconds, Stat::Sum, "3 s"),
            (12.34, MetricUnit::Milliseconds, Stat::P95, "12.3 ms"),
            (0.5, MetricUnit::Count, Stat::Rate, "0.50/s"),
            (7.0, MetricUnit::Count, Stat::Avg, "7"),
            (1e15, MetricUnit::Count, Stat::Max, "1000000000000000"),
        ] {
            assert_eq!(figure(value, unit, stat), want);
        }
    }
}
