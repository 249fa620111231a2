-- The ledger of one replicated table: which stream holds which key, since which tick and until which.
-- {hold}     its name in the schema tillsync
-- {columns}  the key columns with their types
-- {key}      the key columns
-- {index}    of the lines that left, which are purged and reopened
-- A row that enters again after it left is a new line, so that a tick can be taken back.
CREATE TABLE IF NOT EXISTS tillsync.{hold} (
    {columns},
    stream        integer NOT NULL,
    entered_tick  bigint NOT NULL,
    left_tick     bigint,
    PRIMARY KEY ({key}, stream, entered_tick)
);
CREATE INDEX IF NOT EXISTS {index} ON tillsync.{hold} (left_tick) WHERE left_tick IS NOT NULL;
