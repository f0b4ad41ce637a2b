-- 4: API keys and sessions; only SHA-256 of what they are.
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
