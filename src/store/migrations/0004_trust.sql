-- 4: who may do what, what was done, and what failed: keys, sessions, the audit trail, quotas, breakers, errors, approvals.
-- Rows of the audit trail are added and never changed.

-- API keys and sessions; only SHA-256 of what they are.
CREATE TABLE keys (
    id               TEXT    PRIMARY KEY CHECK (length(id) = 12),
    hash             BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    principal        TEXT    NOT NULL CHECK (principal GLOB 'service:?*' OR principal GLOB 'agent:?*'),
    role             TEXT    NOT NULL,
    application_role TEXT,
    clients          TEXT    NOT NULL CHECK (json_valid(clients)),
    networks         TEXT    NOT NULL CHECK (json_valid(networks)),
    created_at       INTEGER NOT NULL,
    created_by       TEXT    NOT NULL CHECK (created_by <> ''),
    expires_at       INTEGER CHECK (expires_at >= created_at),
    last_used_at     INTEGER,
    revoked_at       INTEGER,
    replaced_by      TEXT,
    CHECK (principal NOT GLOB 'agent:*' OR role = 'agent')
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id           TEXT    PRIMARY KEY CHECK (length(id) = 12),
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    principal    TEXT    NOT NULL CHECK (principal <> ''),
    role         TEXT    NOT NULL,
    key          TEXT    REFERENCES keys (id) ON DELETE CASCADE,
    uid          INTEGER NOT NULL CHECK (uid >= 0),
    gid          INTEGER NOT NULL CHECK (gid >= 0),
    opened_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    ended_at     INTEGER,
    CHECK (expires_at > opened_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_principal ON sessions (principal, opened_at);
CREATE INDEX sessions_opened_at ON sessions (opened_at);
CREATE INDEX sessions_key ON sessions (key);

-- Who did what to what, from where and how it ended. Rows are added, never changed, and go only from the old end.
-- Each hash is an HMAC over the hash before it and all of its row, by a key that is not in this file.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    at          INTEGER NOT NULL,
    principal   TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    object      TEXT    NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'intended')),
    reason      TEXT    NOT NULL,
    correlation TEXT    NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
-- An intent finds its outcome.
CREATE INDEX audit_correlation ON audit (correlation);

-- What each principal has used of its hour, in blocks.
-- `reserved` is written before the first request of a block is served, so it is never less than what was served.
-- Hours are counted from 1970, in UTC.
CREATE TABLE quotas (
    principal TEXT    NOT NULL CHECK (principal <> ''),
    hour      INTEGER NOT NULL,
    reserved  INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (principal, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX quotas_hour ON quotas (hour);

-- How each breaker stood, so that a restart does not forget an outage.
-- `since` is wall time: what a monotonic clock says ends with the process.
CREATE TABLE breakers (
    name      TEXT    PRIMARY KEY CHECK (name <> ''),
    state     TEXT    NOT NULL CHECK (state IN ('closed', 'open')),
    since     INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    why       TEXT,
    by        TEXT,
    reason    TEXT,
    opened    INTEGER NOT NULL CHECK (opened >= 0),
    -- Held by hand is held open, by somebody and for a reason.
    CHECK ((by IS NULL) = (reason IS NULL)),
    CHECK (by IS NULL OR state = 'open'),
    CHECK (reason IS NULL OR trim(reason) <> '')
) STRICT;

-- Failures, and the groups that they fall into. a group counts every one; of its occurrences the newest are kept.
CREATE TABLE error_groups (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint       TEXT    NOT NULL UNIQUE,
    category          TEXT    NOT NULL,
    severity          TEXT    NOT NULL,
    rank              INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 3),
    kind              TEXT    NOT NULL,
    operation         TEXT    NOT NULL,
    agent             TEXT,
    retryable         INTEGER NOT NULL CHECK (retryable IN (0, 1)),
    message           TEXT    NOT NULL,
    hint              TEXT,
    state             TEXT    NOT NULL CHECK (state IN ('open', 'resolved', 'ignored', 'regressed')),
    first_at          INTEGER NOT NULL,
    last_at           INTEGER NOT NULL,
    count             INTEGER NOT NULL CHECK (count > 0),
    opened_at         INTEGER NOT NULL,
    assignee          TEXT,
    resolved_at       INTEGER,
    resolved_by       TEXT,
    resolved_note     TEXT,
    resolved_took_s   INTEGER,
    ignored_until     INTEGER,
    ignored_until_count INTEGER,
    ignored_note      TEXT,
    regressions       INTEGER NOT NULL DEFAULT 0,
    CHECK (state <> 'resolved' OR resolved_at IS NOT NULL)
) STRICT;
CREATE INDEX error_groups_last_at ON error_groups (last_at);

CREATE TABLE error_occurrences (
    seq         INTEGER PRIMARY KEY,
    group_id    INTEGER NOT NULL REFERENCES error_groups (id) ON DELETE CASCADE,
    at          INTEGER NOT NULL,
    instance    TEXT,
    client      TEXT,
    correlation TEXT,
    message     TEXT    NOT NULL,
    causes      TEXT    NOT NULL CHECK (json_valid(causes)),
    context     TEXT    NOT NULL
) STRICT;
CREATE INDEX error_occurrences_group ON error_occurrences (group_id, seq);
CREATE INDEX error_occurrences_at ON error_occurrences (at);

-- hour: since 1970.
CREATE TABLE error_hours (
    group_id INTEGER NOT NULL REFERENCES error_groups (id) ON DELETE CASCADE,
    hour     INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (group_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX error_hours_hour ON error_hours (hour);

-- Who said yes or no to which exact action, and whether it was used.
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
