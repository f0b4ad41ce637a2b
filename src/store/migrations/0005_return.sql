-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

-- Metrics.

-- Releases.

-- Drills of backups.

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
