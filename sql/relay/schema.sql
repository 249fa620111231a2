-- The sync server's tables. Nobody but the owner touches them: central and the branches execute functions.
-- Portable profile: every table is keyed by stream or node first, numbers come from a counter row per node, and there
-- are no triggers, sequences, notifications or advisory locks, so that the same schema runs on a distributed PostgreSQL.

CREATE TABLE IF NOT EXISTS relay.state (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch        bigint NOT NULL DEFAULT 1,
    version      integer NOT NULL DEFAULT 1
);
-- lease_holder: the head office that publishes here, until somebody else may
ALTER TABLE relay.state ADD COLUMN IF NOT EXISTS lease_holder text;
ALTER TABLE relay.state ADD COLUMN IF NOT EXISTS lease_until timestamptz;
INSERT INTO relay.state DEFAULT VALUES ON CONFLICT DO NOTHING;

-- who a login is; a node may have two logins while its password is rotated
CREATE TABLE IF NOT EXISTS relay.account (
    role         name PRIMARY KEY,
    node         text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('central', 'branch')),
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- since, until: the branch gets what ticks after the one and up to the other have of the stream. reload: it needs a snapshot
-- of this tick or later
CREATE TABLE IF NOT EXISTS relay.subscription (
    node         text NOT NULL,
    stream       integer NOT NULL,
    channel      text NOT NULL,
    since        bigint NOT NULL DEFAULT 0,
    until        bigint,
    reload       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (node, stream)
);
ALTER TABLE relay.subscription ADD COLUMN IF NOT EXISTS since bigint NOT NULL DEFAULT 0;
ALTER TABLE relay.subscription ADD COLUMN IF NOT EXISTS until bigint;
ALTER TABLE relay.subscription ADD COLUMN IF NOT EXISTS reload bigint NOT NULL DEFAULT 0;

-- the machine that a branch's file lives on; `other`: one that came with a copy of it
CREATE TABLE IF NOT EXISTS relay.machine (
    node         text PRIMARY KEY,
    identity     text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    other        text,
    other_at     timestamptz
);

CREATE TABLE IF NOT EXISTS relay.plan (
    version      integer PRIMARY KEY,
    body         text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE relay.plan ADD COLUMN IF NOT EXISTS digest text;
UPDATE relay.plan SET digest = md5(convert_to(body, 'UTF8')) WHERE digest IS NULL;

CREATE TABLE IF NOT EXISTS relay.tick (
    n            bigint PRIMARY KEY,
    epoch        bigint NOT NULL,
    token        bigint NOT NULL,
    plan_version integer NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);

-- kind: 'delta' = what a tick changes in a stream, 'snapshot' = the whole stream as of that tick
CREATE TABLE IF NOT EXISTS relay.payload (
    stream       integer NOT NULL,
    n            bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('delta', 'snapshot')),
    part         integer NOT NULL,
    frame        bytea NOT NULL CHECK (octet_length(frame) <= 33554432),
    PRIMARY KEY (stream, n, kind, part)
);
ALTER TABLE relay.payload ALTER COLUMN frame SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS payload_n ON relay.payload (n);
CREATE INDEX IF NOT EXISTS payload_snapshot ON relay.payload (stream, n) WHERE kind = 'snapshot';

-- what concerns one node alone: the authoritative state of the rows that it sent
CREATE TABLE IF NOT EXISTS relay.echo (
    node         text NOT NULL,
    n            bigint NOT NULL,
    part         integer NOT NULL,
    frame        bytea NOT NULL CHECK (octet_length(frame) <= 33554432),
    PRIMARY KEY (node, n, part)
);
ALTER TABLE relay.echo ALTER COLUMN frame SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS echo_n ON relay.echo (n);

-- central's applied position of a node, as of a tick; a row stands until the next one
CREATE TABLE IF NOT EXISTS relay.ack (
    node         text NOT NULL,
    n            bigint NOT NULL,
    seq          bigint NOT NULL,
    nonce        bigint NOT NULL,
    gap          boolean NOT NULL,
    PRIMARY KEY (node, n)
);

CREATE TABLE IF NOT EXISTS relay.want (
    stream       integer PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS relay.upload (
    node         text NOT NULL,
    id           bigint NOT NULL,
    uid          bigint NOT NULL,
    part         integer NOT NULL CHECK (part >= 0),
    last         boolean NOT NULL,
    prev_seq     bigint NOT NULL CHECK (prev_seq >= 0),
    prev_nonce   bigint NOT NULL,
    end_seq      bigint NOT NULL,
    end_nonce    bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    taken_at     timestamptz,
    frame        bytea NOT NULL CHECK (octet_length(frame) <= 33554432),
    PRIMARY KEY (node, id),
    UNIQUE (node, uid, part)
);
ALTER TABLE relay.upload ALTER COLUMN frame SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS upload_untaken ON relay.upload (node, id) WHERE taken_at IS NULL;
CREATE INDEX IF NOT EXISTS upload_taken ON relay.upload (taken_at) WHERE taken_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS relay.counter (
    node         text PRIMARY KEY,
    uploads      bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS relay.report (
    node         text PRIMARY KEY,
    at           timestamptz NOT NULL,
    body         jsonb NOT NULL
);

-- answers of tills to what central asked them in a tick, until central takes them
CREATE TABLE IF NOT EXISTS relay.result (
    node         text NOT NULL,
    id           bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    frame        bytea NOT NULL CHECK (octet_length(frame) <= 1048576),
    PRIMARY KEY (node, id)
);
ALTER TABLE relay.result ALTER COLUMN frame SET STORAGE EXTERNAL;
