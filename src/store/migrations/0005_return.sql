-- 5: the way back: what was measured, what could be deployed, what was tried out, who answered for what.

-- Metrics.

-- Releases.

-- Drills of backups.

-- Attestations.
