-- Jobs of the DBA's at a till: what has run. Parameters are named.

-- name: schema
-- One line per job and business date (or time), written in the transaction of what it did. The line whose key is ''
-- says since when the job is known or, where it has no dates, when it ran last. due: UTC, ISO 8601.
CREATE TABLE IF NOT EXISTS tillsync_job_run (
    job           TEXT NOT NULL,
    key           TEXT NOT NULL,
    business_date TEXT NOT NULL,
    due           TEXT NOT NULL,
    at            TEXT NOT NULL,
    rows          INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, key)
) WITHOUT ROWID

-- name: exists
SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'tillsync_job_run'

-- name: newest
SELECT max(due) FROM tillsync_job_run WHERE job = :job

-- name: has_run
SELECT 1 FROM tillsync_job_run WHERE job = :job AND key = :key AND key <> ''

-- name: note
INSERT INTO tillsync_job_run (job, key, business_date, due, at) VALUES (:job, :key, :business_date, :due, :at)
ON CONFLICT (job, key) DO UPDATE SET business_date = excluded.business_date, due = excluded.due, at = excluded.at

-- name: postpone
-- It has run for this date already: nothing but the time up to which that is known moves.
UPDATE tillsync_job_run SET due = max(due, :due) WHERE job = :job AND key = :key

-- name: note_rows
UPDATE tillsync_job_run SET rows = :rows WHERE job = :job AND key = :key

-- name: forget
-- What is older than a year is not asked for any more.
DELETE FROM tillsync_job_run WHERE key <> '' AND due < :before
