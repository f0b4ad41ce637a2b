-- 2: which uid an agent with `user = "auto"` runs as, so that no other agent's coming or going changes it.
CREATE TABLE uids (
    agent   TEXT    PRIMARY KEY,
    uid     INTEGER NOT NULL UNIQUE CHECK (uid > 0),
    gone_at INTEGER
) STRICT, WITHOUT ROWID;
