-- 7: how each breaker stood, so that a restart does not forget an outage.
-- `since` is wall time: what a monotonic clock says ends with the process.
CREATE TABLE breakers (
    name      TEXT    PRIMARY KEY CHECK (name <> ''),
    state     TEXT    NOT NULL CHECK (state IN ('closed', 'open')),
    since     INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    why       TEXT,
    by        TEXT,
    reason    TEXT,
    opened    INTEGER NOT NULL CHECK (opened >= 0),
    -- Held by hand is held open, by somebody and for a reason.
    CHECK ((by IS NULL) = (reason IS NULL)),
    CHECK (by IS NULL OR state = 'open'),
    CHECK (reason IS NULL OR trim(reason) <> '')
) STRICT;
