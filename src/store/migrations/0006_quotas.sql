-- 6: what each principal has used of its hour, in blocks.
-- `reserved` is written before the first request of a block is served, so it is never less than what was served.
-- Hours are counted from 1970, in UTC.
CREATE TABLE quotas (
    principal TEXT    NOT NULL CHECK (principal <> ''),
    hour      INTEGER NOT NULL,
    reserved  INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (principal, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX quotas_hour ON quotas (hour);
