-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

-- Metrics.

-- What is measured, by name and labels. The number of one that is gone is given to no other.
CREATE TABLE metric_series (
    id      INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 268435455),
    name    TEXT    NOT NULL CHECK (name <> ''),
    labels  TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('gauge', 'counter', 'histogram')),
    unit    TEXT    NOT NULL,
    last_at INTEGER NOT NULL,
    UNIQUE (name, labels)
) STRICT;
CREATE INDEX metric_series_last_at ON metric_series (last_at);

-- All that one look gave, until its hour is over and it is folded into chunks.
CREATE TABLE metric_ticks (
    at   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;

-- A series over an hour of 10 s or of 1 min each, or over a day of 1 h each. The number says which: resolution (0, 1, 2)
-- in bits 60 and up, the hour since 1970 that it begins with in bits 28 to 59, the series below. So what is folded
-- together lies together, and so does what goes together.
CREATE TABLE metric_chunks (
    id   INTEGER PRIMARY KEY CHECK (id > 0),
    body BLOB    NOT NULL
) STRICT;

-- Releases.

-- Drills of backups.

-- Attestations.
