-- Jobs of the DBA's at head office: one line per job and business date (or time), written in the transaction of what it
-- did. The line whose key is '' says since when the job is known or, where it has no dates, when it ran last.
CREATE TABLE IF NOT EXISTS tillsync.job_run (
    job           text NOT NULL,
    key           text NOT NULL,
    business_date date NOT NULL,
    due           timestamptz NOT NULL,
    at            timestamptz NOT NULL,
    rows          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (job, key)
);
