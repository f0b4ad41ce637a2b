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

-- Rollouts: a candidate beside what is stable.
