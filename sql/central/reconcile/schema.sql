-- Comparisons of head office with its tills. What is asked of a branch rides in its next tick; head office's side is made at
-- that tick's snapshot, the till's as of that tick, and both wait here for one another.
-- What a till says is kept as json: jsonb has no NUL, which a till's text may hold.

-- the comparison of a branch that is under way, one at a time, and its next or present step. asks: what is asked of which
-- table, null for one digest of each; found: what earlier steps found
CREATE TABLE IF NOT EXISTS tillsync.comparing (
    node         text PRIMARY KEY REFERENCES tillsync.node ON DELETE CASCADE,
    id           bigint NOT NULL,
    step         integer NOT NULL DEFAULT 0,
    asks         json,
    found        json NOT NULL DEFAULT '{}',
    at           timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- what is asked of the checks of the books, null for one digest of each
ALTER TABLE tillsync.comparing ADD COLUMN IF NOT EXISTS books json;

-- the steps that went out, with the streams that the branch takes as of their tick
CREATE TABLE IF NOT EXISTS tillsync.compare_ask (
    node         text NOT NULL,
    id           bigint NOT NULL,
    step         integer NOT NULL,
    n            bigint NOT NULL,
    token        bigint NOT NULL,
    plan_version integer NOT NULL,
    streams      jsonb NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (node, id, step, n)
);

CREATE TABLE IF NOT EXISTS tillsync.compare_answer (
    node         text NOT NULL,
    id           bigint NOT NULL,
    step         integer NOT NULL,
    frame        bytea NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (node, id, step)
);

-- head office's side of a tick is there. This, and the two after it, can be made again: what a crash takes is asked anew
CREATE UNLOGGED TABLE IF NOT EXISTS tillsync.compare_side (
    n            bigint PRIMARY KEY
);

-- scope: a stream, or for a table that only goes up the node; kind: the question, but for the buckets that it is about
CREATE UNLOGGED TABLE IF NOT EXISTS tillsync.compare_digest (
    n            bigint NOT NULL,
    scope        text NOT NULL,
    tab          text NOT NULL,
    kind         text NOT NULL,
    bucket       bigint NOT NULL,
    rows         bigint NOT NULL,
    hi           bigint NOT NULL,
    lo           bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS compare_digest_scope ON tillsync.compare_digest (n, scope, tab);

CREATE UNLOGGED TABLE IF NOT EXISTS tillsync.compare_row (
    n            bigint NOT NULL,
    scope        text NOT NULL,
    tab          text NOT NULL,
    kind         text NOT NULL,
    bucket       bigint NOT NULL,
    texts        text[] NOT NULL
);
CREATE INDEX IF NOT EXISTS compare_row_scope ON tillsync.compare_row (n, scope, tab);

-- what the last comparison of a branch's table came to
CREATE TABLE IF NOT EXISTS tillsync.compared (
    node         text NOT NULL REFERENCES tillsync.node ON DELETE CASCADE,
    tab          text NOT NULL,
    n            bigint NOT NULL,
    tick_at      timestamptz NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    body         json NOT NULL,
    PRIMARY KEY (node, tab)
);

-- head office's side of the checks of the books, as msgpack
CREATE UNLOGGED TABLE IF NOT EXISTS tillsync.compare_book (
    n            bigint NOT NULL,
    node         text NOT NULL,
    book         text NOT NULL,
    body         bytea NOT NULL,
    PRIMARY KEY (n, node, book)
);

-- the comparison that a schedule asks for: the last time at which one was due; id: the one that is under way
CREATE TABLE IF NOT EXISTS tillsync.night (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    due          timestamptz NOT NULL,
    id           bigint,
    begun_at     timestamptz NOT NULL
);

-- rows that tills are asked to send again, by table and key, and the ticks that carried it
CREATE TABLE IF NOT EXISTS tillsync.again (
    id           bigint PRIMARY KEY,
    node         text NOT NULL REFERENCES tillsync.node ON DELETE CASCADE,
    keys         json NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS tillsync.again_sent (
    id           bigint NOT NULL REFERENCES tillsync.again ON DELETE CASCADE,
    n            bigint NOT NULL,
    token        bigint NOT NULL,
    PRIMARY KEY (id, n)
);

-- ticks that carry what was put into them: a new epoch begins without those before it
CREATE OR REPLACE VIEW tillsync.carrying AS
SELECT i.n, i.token FROM tillsync.intent i JOIN tillsync.state s ON s.epoch = i.epoch;
