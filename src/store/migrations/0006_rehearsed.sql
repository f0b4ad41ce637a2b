-- 6: the way back, rehearsed and by itself: what was tried out on a copy, what acts, what runs beside what is stable.

-- Rehearsals of a return.

-- Triggers: what they saw and did, and when they were held.

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
