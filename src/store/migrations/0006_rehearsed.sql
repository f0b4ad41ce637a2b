-- 6: the way back, rehearsed and by itself: what was tried out on a copy, what acts, what runs beside what is stable.

-- Rehearsals of a return.

-- A row each, added and never changed. By its operation and beginning: a step that is run again after a crash finds it.
-- AUTOINCREMENT: people name one by its number, which must never mean another one.
CREATE TABLE rehearsals (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT    NOT NULL CHECK (operation GLOB 'op-?*'),
    at        INTEGER NOT NULL,
    release   INTEGER NOT NULL CHECK (release > 0),
    content   BLOB    NOT NULL CHECK (length(content) = 32),
    passed    INTEGER NOT NULL CHECK (passed IN (0, 1)),
    body      TEXT    NOT NULL CHECK (json_valid(body)),
    UNIQUE (operation, at)
) STRICT;
CREATE INDEX rehearsals_at ON rehearsals (at);
CREATE INDEX rehearsals_content ON rehearsals (content, id);

-- Triggers: what they saw and did, and when they were held.
-- AUTOINCREMENT: a rollback names the firing that it was begun for, which must never mean another one.
CREATE TABLE trigger_firings (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    trigger   TEXT    NOT NULL CHECK (trigger <> ''),
    at        INTEGER NOT NULL,
    action    TEXT    NOT NULL CHECK (action IN ('observe', 'pause', 'revert')),
    state     TEXT    NOT NULL CHECK (state IN ('told', 'paused', 'resumed', 'intended', 'reverting', 'reverted',
                                                'abandoned', 'stopped', 'reset')),
    release   TEXT,
    value     REAL,
    told      TEXT    NOT NULL,
    operation TEXT,
    ended_at  INTEGER,
    ended_by  TEXT,
    why       TEXT    NOT NULL DEFAULT '',
    CHECK (state <> 'reverting' OR operation IS NOT NULL),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
) STRICT;
CREATE INDEX trigger_firings_trigger ON trigger_firings (trigger, id);
CREATE INDEX trigger_firings_at ON trigger_firings (at);
-- Never two rollbacks at a time.
CREATE UNIQUE INDEX trigger_firings_one_revert ON trigger_firings ((1)) WHERE state IN ('intended', 'reverting');

CREATE TABLE trigger_holds (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    trigger     TEXT    CHECK (trigger <> ''),
    reason      TEXT    NOT NULL CHECK (trim(reason) <> ''),
    by          TEXT    NOT NULL CHECK (by <> ''),
    at          INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL CHECK (expires_at > at),
    released_at INTEGER,
    released_by TEXT,
    CHECK ((released_at IS NULL) = (released_by IS NULL))
) STRICT;
CREATE INDEX trigger_holds_expires_at ON trigger_holds (expires_at);

-- Rollouts: a candidate beside what is stable.
-- AUTOINCREMENT: the audit trail names a rollout by its number, which must never mean another one.
CREATE TABLE rollouts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    agent      TEXT    NOT NULL CHECK (agent <> ''),
    release    TEXT    NOT NULL CHECK (release <> ''),
    state      TEXT    NOT NULL CHECK (state IN ('trying', 'promoting', 'promoted', 'aborted', 'failed')),
    by         TEXT    NOT NULL CHECK (by <> ''),
    reason     TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    ended_at   INTEGER,
    why        TEXT    NOT NULL,
    operation  TEXT,
    comparison TEXT    CHECK (comparison IS NULL OR json_valid(comparison)),
    CHECK ((ended_at IS NULL) = (state IN ('trying', 'promoting')))
) STRICT;
CREATE UNIQUE INDEX rollouts_open ON rollouts (agent) WHERE state IN ('trying', 'promoting');
CREATE INDEX rollouts_ended ON rollouts (ended_at);
