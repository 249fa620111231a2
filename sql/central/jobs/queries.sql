-- Jobs of the DBA's at head office: what has run.

-- name: newest
SELECT max(due) FROM tillsync.job_run WHERE job = %(job)s

-- name: has_run
SELECT 1 FROM tillsync.job_run WHERE job = %(job)s AND key = %(key)s AND key <> '' FOR UPDATE

-- name: note
-- before the job's own SQL: another run of the same date waits here, and then finds it done
INSERT INTO tillsync.job_run (job, key, business_date, due, at)
VALUES (%(job)s, %(key)s, %(business_date)s, %(due)s, %(at)s)
ON CONFLICT (job, key) DO UPDATE SET business_date = excluded.business_date, due = excluded.due, at = excluded.at

-- name: postpone
UPDATE tillsync.job_run SET due = greatest(due, %(due)s) WHERE job = %(job)s AND key = %(key)s

-- name: note_rows
UPDATE tillsync.job_run SET rows = %(rows)s WHERE job = %(job)s AND key = %(key)s

-- name: forget
DELETE FROM tillsync.job_run WHERE key <> '' AND due < %(before)s
