-- Finds the newest change of a row in its log, for tables whose policy asks which change was made later.
-- {index}, {log} names; {key} the key columns
CREATE INDEX IF NOT EXISTS {index} ON tillsync.{log} ({key}, at) WHERE origin IS NULL;
