-- 5: who did what to what, from where and how it ended. Rows are added, never changed, and go only from the old end.
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
