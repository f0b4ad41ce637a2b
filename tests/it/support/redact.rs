//! Golden output without what differs from run to run: times, lengths of time, pids, ports, sizes and paths.
use regex::Regex;
use std::{path::Path, sync::LazyLock};

/// In this order: what is longest first.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\x1b\[[0-9;]*m", ""),
        (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?", "[time]"),
        (r"\b[0-9a-f]{64}\b", "[sha256]"),
        (r"\b\d+(\.\d+)? ?(KiB|MiB|GiB|kB|MB|GB)\b", "[size]"),
        (r"\b(\d+(\.\d+)?(ns|µs|ms|s|m|h|d)( |\b))+", "[took]"),
        (r"\bpid \d+", "pid [pid]"),
        (r"\b127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"\b(SQLite|agentctl|agentd) +v?\d+\.\d+\.\d+", "$1 [version]"),
    ]
    .into_iter()
    .map(|(pattern, instead)| (Regex::new(pattern).expect("a pattern"), instead))
    .collect()
});

/// `home` is the test's own directory. Trailing blanks go too, since widths follow from what was replaced.
pub fn redact(text: &str, home: &Path) -> String {
    let mut text = text.replace(&home.display().to_string(), "[home]");
    for (pattern, instead) in RULES.iter() {
        text = pattern.replace_all(&text, *instead).into_owned();
    }
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn what_differs_from_run_to_run_is_gone_and_the_rest_is_not() {
    let said = "orders/0 up 3m 12s since 2026-01-02T03:04:05.678Z at 127.0.0.1:8042, pid 4711, 12.5 MiB in \
                /tmp/x/state  \n2 agents";
    assert_eq!(
        redact(said, Path::new("/tmp/x")),
        "orders/0 up [took]since [time] at 127.0.0.1:[port], pid [pid], [size] in [home]/state\n2 agents\n"
    );
}
