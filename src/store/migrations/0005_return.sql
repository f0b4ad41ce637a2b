-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

-- Metrics.

-- Releases. `body` is what `release.json` holds, `record` the SHA-256 of that file. No number is given twice.
CREATE TABLE releases (
    number  INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number > 0),
    state   TEXT    NOT NULL CHECK (state IN ('candidate', 'on-trial', 'stable', 'superseded', 'reverted')),
    content BLOB    NOT NULL CHECK (length(content) = 32),
    record  BLOB    NOT NULL CHECK (length(record) = 32),
    body    TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE UNIQUE INDEX releases_one_on_trial ON releases (state) WHERE state = 'on-trial';
CREATE UNIQUE INDEX releases_one_stable ON releases (state) WHERE state = 'stable';

-- How each came to stand where it stands.
CREATE TABLE release_moves (
    seq     INTEGER PRIMARY KEY,
    release INTEGER NOT NULL REFERENCES releases (number) ON DELETE CASCADE,
    was     TEXT,
    now     TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    by      TEXT    NOT NULL CHECK (by <> ''),
    why     TEXT    NOT NULL
) STRICT;
CREATE INDEX release_moves_release ON release_moves (release);

-- Which release's artifact an instance was started from.
ALTER TABLE instances ADD COLUMN release TEXT;

-- Drills of backups.

-- Attestations.
