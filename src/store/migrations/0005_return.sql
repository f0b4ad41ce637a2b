-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

-- Metrics.

-- Releases.

-- Drills of backups.
-- A row for each time that a backup was restored to scratch and compared; times in milliseconds.
-- AUTOINCREMENT: people name a drill by its number, which must never mean another one.
CREATE TABLE drills (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    backup   TEXT    NOT NULL CHECK (backup GLOB 'bk-?*'),
    at       INTEGER NOT NULL,
    by       TEXT    NOT NULL CHECK (by <> ''),
    rpo_ms   INTEGER NOT NULL CHECK (rpo_ms >= 0),
    rto_ms   INTEGER NOT NULL CHECK (rto_ms >= 0),
    problems TEXT    NOT NULL CHECK (json_valid(problems))
) STRICT;
CREATE INDEX drills_at ON drills (at);
CREATE INDEX drills_backup ON drills (backup, id);

-- Attestations.
