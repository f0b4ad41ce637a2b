//! Everything that is measured, by name. A series of another name is never made.
use crate::{
    config::Measured,
    domain::{MetricKind, MetricUnit},
};

/// One name and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogued {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: MetricUnit,
    pub about: &'static str,
}

macro_rules! catalogue {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, $about:literal;)*) => {
        $(pub const $constant: Catalogued = Catalogued {
            name: $name, kind: MetricKind::$kind, unit: MetricUnit::$unit, about: $about,
        };)*
        /// All of them.
        pub const METRICS: &[Catalogued] = &[$($constant),*];
    };
}

catalogue! {
    DAEMON_MEMORY = "daemon_memory_bytes", Gauge, Bytes, "resident memory of agentd";
    DAEMON_CPU = "daemon_cpu_seconds", Counter, Seconds, "processor time of agentd";
    DAEMON_FILES = "daemon_open_files", Gauge, Count, "open descriptors of agentd";
    DAEMON_THREADS = "daemon_threads", Gauge, Count, "threads of agentd";
    LOOK = "metrics_look_ms", Gauge, Milliseconds, "what the look before this one took";
    SKIPPED = "metrics_skipped", Counter, Count, "looks that were missed or came too late";
    REFUSED = "metrics_refused", Gauge, Count, "series beyond max_series, which are not kept";
    STORE_QUERY = "store_query_ms", Histogram, Milliseconds, "reading from the store";
    STORE_WAIT = "store_wait_ms", Histogram, Milliseconds, "waiting for a reader of the store";
    STORE_COMMIT = "store_commit_ms", Histogram, Milliseconds, "from handing a write in to its commit";
    STORE_QUEUE = "store_write_queue", Gauge, Count, "writes that wait";
    STORE_BUSY = "store_readers_busy", Gauge, Count, "readers that read";
    STORE_FILE = "store_file_bytes", Gauge, Bytes, "the database and its write-ahead log";
    STORE_COMMITS = "store_commits", Counter, Count, "transactions";
    STORE_WRITES = "store_writes", Counter, Count, "writes that were kept";
    ERRORS = "errors", Counter, Count, "failures, by category";
    REQUESTS = "requests", Counter, Count, "requests answered, by outcome";
    AGENT_READY = "agent_ready", Gauge, Flag, "1 while an instance is ready";
    AGENT_RESTARTS = "agent_restarts", Counter, Count, "restarts after a failure";
    AGENT_MEMORY = "agent_memory_bytes", Gauge, Bytes, "resident memory of all processes of an instance";
    AGENT_CPU = "agent_cpu_seconds", Counter, Seconds, "processor time of all processes of an instance";
    AGENT_FILES = "agent_open_files", Gauge, Count, "open descriptors of all processes of an instance";
    AGENT_PROCESSES = "agent_processes", Gauge, Count, "processes of an instance";
    PROBE_PASSING = "probe_passing", Gauge, Flag, "1 while a probe passes, 0 while it fails";
    PROBE_LATENCY = "probe_latency_ms", Gauge, Milliseconds, "how long a probe's answer took";
    PROBE_FAILURES = "probe_failures", Counter, Count, "looks of a probe that failed";
}

/// All of them, for reading a configuration.
pub fn kinds() -> Vec<Measured> {
    let known = METRICS.iter();
    known.map(|Catalogued { name, kind, unit, .. }| Measured { name, kind: *kind, unit: *unit }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_says_its_unit() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let ending = match metric.unit {
                MetricUnit::Bytes => "_bytes",
                MetricUnit::Milliseconds => "_ms",
                MetricUnit::Seconds => "_seconds",
                MetricUnit::Count | MetricUnit::Flag => "",
            };
            assert!(metric.name.ends_with(ending), "{metric:?}");
        }
    }
}
