-- 1: the fleet as it was spawned and wished for, what happened to it, what its probes said, how it was validated.
-- Times are nanoseconds since 1970. Never edit a migration that shipped: add another.
PRAGMA application_id = 0x61676474; -- "agdt"

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
    agent       TEXT    NOT NULL,
    replica     INTEGER NOT NULL CHECK (replica >= 0),
    pid         INTEGER NOT NULL CHECK (pid > 0),
    pid_start   INTEGER NOT NULL,
    boot_id     TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    port        INTEGER CHECK (port BETWEEN 1 AND 65535),
    spec_digest TEXT    NOT NULL,
    was_ready   INTEGER NOT NULL CHECK (was_ready IN (0, 1)),
    PRIMARY KEY (agent, replica)
) STRICT, WITHOUT ROWID;

CREATE TABLE desires (
    agent    TEXT PRIMARY KEY,
    stopped  INTEGER NOT NULL CHECK (stopped IN (0, 1)),
    replicas INTEGER CHECK (replicas >= 0)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a cursor must never see a number twice, even after the newest rows were deleted.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    instance TEXT,
    text     TEXT    NOT NULL
) STRICT;
CREATE INDEX events_at ON events (at);

CREATE TABLE transitions (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    target TEXT    NOT NULL,
    probe  TEXT    NOT NULL,
    was    TEXT    NOT NULL,
    became TEXT    NOT NULL,
    detail TEXT    NOT NULL
) STRICT;
CREATE INDEX transitions_at ON transitions (at);
CREATE INDEX transitions_target ON transitions (target, seq);

CREATE TABLE runs (
    run         INTEGER PRIMARY KEY AUTOINCREMENT,
    state       TEXT    NOT NULL CHECK (state IN ('running', 'finished', 'interrupted')),
    started_at  INTEGER NOT NULL,
    environment TEXT    NOT NULL,
    partial     INTEGER NOT NULL CHECK (partial IN (0, 1)),
    verdict     TEXT,
    low         REAL,
    high        REAL,
    coverage    REAL,
    CHECK ((state = 'finished') = (verdict IS NOT NULL))
) STRICT;
CREATE INDEX runs_running ON runs (run) WHERE state = 'running';

CREATE TABLE reports (
    run  INTEGER PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

INSERT INTO meta (key, value) VALUES ('fleet_id', lower(hex(randomblob(16))));
