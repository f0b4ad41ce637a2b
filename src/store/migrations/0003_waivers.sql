-- 3: who answers for which finding until when; and which of the interrupted runs were called off.
-- AUTOINCREMENT: a report names a waiver by its number, which must never mean another one.
CREATE TABLE waivers (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    check_id    TEXT    NOT NULL CHECK (check_id <> ''),
    resource    TEXT,
    fingerprint TEXT,
    owner       TEXT    NOT NULL CHECK (trim(owner) <> ''),
    reason      TEXT    NOT NULL CHECK (trim(reason) <> ''),
    expires_at  INTEGER NOT NULL,
    added_at    INTEGER NOT NULL,
    added_by    TEXT    NOT NULL CHECK (added_by <> ''),
    revoked_at  INTEGER,
    CHECK ((resource IS NULL) = (fingerprint IS NULL)),
    CHECK (expires_at > added_at)
) STRICT;
CREATE INDEX waivers_expires_at ON waivers (expires_at);

ALTER TABLE runs ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1));
