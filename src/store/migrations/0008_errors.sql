-- 8: failures, and the groups that they fall into. A group counts every one; of its occurrences the newest are kept.
CREATE TABLE error_groups (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint       TEXT    NOT NULL UNIQUE,
    category          TEXT    NOT NULL,
    severity          TEXT    NOT NULL,
    rank              INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 3),
    kind              TEXT    NOT NULL,
    operation         TEXT    NOT NULL,
    agent             TEXT,
    retryable         INTEGER NOT NULL CHECK (retryable IN (0, 1)),
    message           TEXT    NOT NULL,
    hint              TEXT,
    state             TEXT    NOT NULL CHECK (state IN ('open', 'resolved', 'ignored', 'regressed')),
    first_at          INTEGER NOT NULL,
    last_at           INTEGER NOT NULL,
    count             INTEGER NOT NULL CHECK (count > 0),
    opened_at         INTEGER NOT NULL,
    assignee          TEXT,
    resolved_at       INTEGER,
    resolved_by       TEXT,
    resolved_note     TEXT,
    resolved_took_s   INTEGER,
    ignored_until     INTEGER,
    ignored_until_count INTEGER,
    ignored_note      TEXT,
    regressions       INTEGER NOT NULL DEFAULT 0,
    CHECK (state <> 'resolved' OR resolved_at IS NOT NULL)
) STRICT;
CREATE INDEX error_groups_last_at ON error_groups (last_at);

CREATE TABLE error_occurrences (
    seq         INTEGER PRIMARY KEY,
    group_id    INTEGER NOT NULL REFERENCES error_groups (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    instance    TEXT,
    client      TEXT,
    correlation TEXT,
    message     TEXT    NOT NULL,
    causes      TEXT    NOT NULL CHECK (json_valid(causes)),
    context     TEXT    NOT NULL
) STRICT;
CREATE INDEX error_occurrences_group ON error_occurrences (group_id, seq);
CREATE INDEX error_occurrences_at ON error_occurrences (at);

-- hour: since 1970.
CREATE TABLE error_hours (
    group_id INTEGER NOT NULL REFERENCES error_groups (id) ON DELETE CASCADE,
    hour     INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (group_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX error_hours_hour ON error_hours (hour);
