-- The log of one captured table: which keys changed, in which transaction. Row contents are read at the tick's snapshot.
-- {log}      its name in the schema tillsync
-- {columns}  the key columns and the routing columns, with their types; no rule on them: capture must never fail
-- {added}    the same columns once more, for a log that an older plan made
-- origin     null for a change that a trigger saw; a node where that node asked for the row's authoritative state
-- A row whose key columns are all null says that the table was truncated.
CREATE TABLE IF NOT EXISTS tillsync.{log} (
    xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    origin  text,
    {columns}
);
CREATE INDEX IF NOT EXISTS {index} ON tillsync.{log} (xid);
{added}
