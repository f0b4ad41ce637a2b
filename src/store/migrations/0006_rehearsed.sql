-- 6: the way back, rehearsed and by itself: what was tried out on a copy, what acts, what runs beside what is stable.

-- Rehearsals of a return.

-- Triggers: what they saw and did, and when they were held.

-- Rollouts: a candidate beside what is stable.
