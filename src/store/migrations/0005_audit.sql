-- 5: who did what to what, from where and how it ended. Rows are added and never changed.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    at          INTEGER NOT NULL,
    principal   TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    object      TEXT    NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'intended')),
    reason      TEXT    NOT NULL,
    correlation TEXT    NOT NULL
) STRICT;
