-- 9: who said yes or no to which exact action, and whether it was used.
-- AUTOINCREMENT: people name an approval by its number, which must never mean another one.
CREATE TABLE approvals (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    action      TEXT    NOT NULL CHECK (action <> ''),
    object      TEXT    NOT NULL,
    request     TEXT    NOT NULL CHECK (json_valid(request)),
    digest      TEXT    NOT NULL CHECK (length(digest) = 64),
    state       TEXT    NOT NULL
                CHECK (state IN ('pending', 'given', 'denied', 'withdrawn', 'used', 'expired')),
    asked_by    TEXT    NOT NULL,
    asked_uid   INTEGER NOT NULL,
    asked_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    decided_by  TEXT,
    decided_uid INTEGER,
    decided_at  INTEGER,
    reason      TEXT    NOT NULL DEFAULT '',
    used_at     INTEGER,
    CHECK ((decided_by IS NULL) = (decided_uid IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)),
    -- Whatever a statement forgets: nothing is given or used without somebody's name.
    CHECK (state IN ('pending', 'expired') OR decided_by IS NOT NULL),
    CHECK ((state = 'used') = (used_at IS NOT NULL))
) STRICT;
CREATE INDEX approvals_expires_at ON approvals (expires_at);
-- One asker has one open approval for one action.
CREATE UNIQUE INDEX approvals_open ON approvals (digest, asked_by, asked_uid) WHERE state IN ('pending', 'given');
