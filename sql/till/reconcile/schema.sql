-- Comparisons at a till: questions of head office's that came with a tick, until they are answered. kind 'compare': ask is one
-- step of a comparison, and answer what the relay is to get; 'again': ask names rows that are to be sent anew. Both as msgpack.
CREATE TABLE IF NOT EXISTS tillsync_asked (
    kind   TEXT NOT NULL,
    id     INTEGER NOT NULL,
    step   INTEGER NOT NULL,
    tick   INTEGER NOT NULL,
    token  INTEGER NOT NULL,
    ask    BLOB NOT NULL,
    answer BLOB,
    PRIMARY KEY (kind, id, step)
);
