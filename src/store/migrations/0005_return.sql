-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

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

CREATE TABLE attestations (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    item            TEXT    NOT NULL CHECK (item <> ''),
    fingerprint     TEXT    NOT NULL CHECK (fingerprint <> ''),
    environment     TEXT    NOT NULL CHECK (environment <> ''),
    release         TEXT    CHECK (release <> ''),
    given_by        TEXT    NOT NULL CHECK (trim(given_by) <> ''),
    principal       TEXT    NOT NULL CHECK (principal <> '' AND principal NOT LIKE 'agent:%'),
    uid             INTEGER NOT NULL,
    note            TEXT    NOT NULL CHECK (trim(note) <> ''),
    evidence_name   TEXT,
    evidence_sha256 TEXT,
    evidence        BLOB    CHECK (length(evidence) <= 1048576),
    attested_at     INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    CHECK ((evidence IS NULL) = (evidence_name IS NULL) AND (evidence IS NULL) = (evidence_sha256 IS NULL)),
    CHECK (expires_at > attested_at)
) STRICT;
CREATE INDEX attestations_expires_at ON attestations (expires_at);

-- Which phase of the checklist a run was of; none is a validation.
ALTER TABLE runs ADD COLUMN phase TEXT CHECK (phase IN ('pre', 'post', 'short', 'extended'));
