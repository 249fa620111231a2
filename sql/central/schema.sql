-- Central's own tables. Everything is in the schema tillsync; nothing of the application's is altered but by triggers.
-- Per captured table there is a log (what changed) and per replicated table a ledger (what each stream holds):
-- triggers/postgresql/ has their templates.
CREATE SCHEMA IF NOT EXISTS tillsync;

CREATE TABLE IF NOT EXISTS tillsync.state (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch        bigint NOT NULL DEFAULT 1,
    version      integer NOT NULL DEFAULT 1,
    purged_at    timestamptz
);
ALTER TABLE tillsync.state ADD COLUMN IF NOT EXISTS purged_at timestamptz;
INSERT INTO tillsync.state (version) VALUES (3) ON CONFLICT (one) DO UPDATE SET version = excluded.version;

CREATE TABLE IF NOT EXISTS tillsync.plan (
    version      integer PRIMARY KEY,
    body         text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);

-- what is captured, under which names, and the columns by which rows of other tables are routed
CREATE TABLE IF NOT EXISTS tillsync.captured (
    tab          text PRIMARY KEY,
    log          name NOT NULL UNIQUE,
    hold         name UNIQUE,
    key          text[] NOT NULL,
    columns      text[] NOT NULL,
    routing      text[] NOT NULL
);

-- the branches. `announced`: the relay knows the streams that follow from the parameters
CREATE TABLE IF NOT EXISTS tillsync.node (
    node         text PRIMARY KEY CHECK (node ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$'),
    params       jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
    announced    boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- a channel x one tuple of the parameters that its filters use. Routed from loaded_tick on
CREATE TABLE IF NOT EXISTS tillsync.stream (
    stream       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel      text NOT NULL,
    params       jsonb NOT NULL,
    loaded_tick  bigint,
    UNIQUE (channel, params)
);

CREATE TABLE IF NOT EXISTS tillsync.subscription (
    node         text NOT NULL REFERENCES tillsync.node ON DELETE CASCADE,
    stream       integer NOT NULL REFERENCES tillsync.stream ON DELETE CASCADE,
    PRIMARY KEY (node, stream)
);
CREATE INDEX IF NOT EXISTS subscription_stream ON tillsync.subscription (stream);

-- branches that go from one stream of a channel to another, because their parameters or its filters changed: to the one that
-- they are subscribed to now. Made in `tick`, which sends each of them what differs
CREATE TABLE IF NOT EXISTS tillsync.move (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node         text NOT NULL REFERENCES tillsync.node ON DELETE CASCADE,
    channel      text NOT NULL,
    old_stream   integer NOT NULL,
    tick         bigint
);

-- a tick that was published or is about to be: committed before anybody else learns of it
CREATE TABLE IF NOT EXISTS tillsync.intent (
    n            bigint PRIMARY KEY,
    token        bigint NOT NULL UNIQUE,
    snapshot     pg_snapshot NOT NULL,
    epoch        bigint NOT NULL,
    plan_version integer NOT NULL,
    system_id    bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz
);
-- channels that stayed back in the tick, with the snapshots up to which they were covered
ALTER TABLE tillsync.intent ADD COLUMN IF NOT EXISTS held jsonb;

-- how far each node's changelog is merged. straight: nothing after the position was ever merged
CREATE TABLE IF NOT EXISTS tillsync.applied (
    node         text PRIMARY KEY,
    seq          bigint NOT NULL,
    nonce        bigint NOT NULL,
    straight     boolean NOT NULL,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at           timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- nodes that were asked to send again after their last ack
CREATE TABLE IF NOT EXISTS tillsync.gap (
    node         text PRIMARY KEY,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at           timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS tillsync.taken (
    node         text NOT NULL,
    uid          bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (node, uid)
);

-- the positions of every change that was ever merged, one row per upload group
CREATE TABLE IF NOT EXISTS tillsync.inbound (
    node         text NOT NULL,
    uid          bigint NOT NULL,
    first_seq    bigint NOT NULL,
    last_seq     bigint NOT NULL,
    seqs         bigint[] NOT NULL,
    nonces       bigint[] NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (node, uid)
);
CREATE INDEX IF NOT EXISTS inbound_range ON tillsync.inbound (node, last_seq, first_seq);

-- how far the positions of a branch were purged: up to there what is not known may have been merged
CREATE TABLE IF NOT EXISTS tillsync.floor (
    node         text PRIMARY KEY,
    seq          bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS tillsync.conflict (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    node         text NOT NULL,
    uid          bigint NOT NULL,
    seq          bigint NOT NULL,
    nonce        bigint NOT NULL,
    tab          text NOT NULL,
    key          jsonb NOT NULL,
    policy       text NOT NULL,
    columns      text[] NOT NULL,
    base         jsonb,
    theirs       jsonb,
    ours         jsonb,
    outcome      jsonb,
    winner       text NOT NULL
);
-- note: what was wrong with a clock. state: `open` waits for a person, `closed` and `restored` say that one decided. xid: of the
-- merge, by which the till is told
ALTER TABLE tillsync.conflict ADD COLUMN IF NOT EXISTS note text;
ALTER TABLE tillsync.conflict ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'decided'
    CHECK (state IN ('decided', 'open', 'closed', 'restored'));
ALTER TABLE tillsync.conflict ADD COLUMN IF NOT EXISTS xid xid8;
ALTER TABLE tillsync.conflict ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX IF NOT EXISTS conflict_xid ON tillsync.conflict (xid);
CREATE INDEX IF NOT EXISTS conflict_open ON tillsync.conflict (id) WHERE state = 'open';

-- when a row was last changed, and by which branch ('' for head office), where a policy asks; seen_at: by central's clock, up to
-- when changes in the log are accounted for
CREATE TABLE IF NOT EXISTS tillsync.stamp (
    tab          text NOT NULL,
    key          jsonb NOT NULL,
    at           timestamptz NOT NULL,
    node         text NOT NULL,
    seen_at      timestamptz NOT NULL,
    PRIMARY KEY (tab, key)
);

CREATE TABLE IF NOT EXISTS tillsync.parked (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    node         text NOT NULL,
    uid          bigint NOT NULL,
    seq          bigint NOT NULL,
    nonce        bigint NOT NULL,
    tab          text NOT NULL,
    key          jsonb NOT NULL,
    op           text NOT NULL,
    old          jsonb,
    new          jsonb,
    reason       text NOT NULL,
    sqlstate     text NOT NULL,
    tries        integer NOT NULL DEFAULT 1,
    state        text NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'released', 'dropped')),
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id()  -- of the newest change of state
);
-- stamp: when the change was made, where a policy asks. document: the header of the document that it belongs to
ALTER TABLE tillsync.parked ADD COLUMN IF NOT EXISTS stamp timestamptz;
ALTER TABLE tillsync.parked ADD COLUMN IF NOT EXISTS stamp_note text;
ALTER TABLE tillsync.parked ADD COLUMN IF NOT EXISTS document text;
CREATE INDEX IF NOT EXISTS parked_xid ON tillsync.parked (xid);
CREATE INDEX IF NOT EXISTS parked_open ON tillsync.parked (node, seq) WHERE state = 'parked';

-- the tables of the plan as they were when their capture was last found, or put, in order: their columns, and two digests.
-- shape: of the table's columns, its unique rules, and the tables below it; guard: of what captures it. They are made of the
-- catalog rows' own versions, so that a trigger which was switched off and on again shows, too. The rest as tillsync.made tells
CREATE TABLE IF NOT EXISTS tillsync.seen (
    tab          text PRIMARY KEY,
    columns      text[],
    shape        text,
    guard        text
);
ALTER TABLE tillsync.seen ADD COLUMN IF NOT EXISTS made jsonb;
ALTER TABLE tillsync.seen ADD COLUMN IF NOT EXISTS heap text;
ALTER TABLE tillsync.seen ADD COLUMN IF NOT EXISTS parts jsonb;
CREATE OR REPLACE VIEW tillsync.watched AS
SELECT s.tab, c.oid IS NULL AS gone,
       (SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       md5(concat_ws(' ', c.oid,
           (SELECT string_agg(a.attnum || ':' || a.xmin, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0),
           (SELECT string_agg(i.indexrelid || ':' || i.xmin, ',' ORDER BY i.indexrelid) FROM pg_catalog.pg_index i
             WHERE i.indrelid = c.oid AND i.indisunique),
           (SELECT string_agg(d.oid::text, ',' ORDER BY d.adnum) FROM pg_catalog.pg_attrdef d
              JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
             WHERE d.adrelid = c.oid),
           CASE WHEN c.relhassubclass THEN
               (WITH RECURSIVE part (oid, since) AS (
                    SELECT i.inhrelid, i.xmin::text FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid
                    UNION ALL
                    SELECT i.inhrelid, i.xmin::text FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid)
                SELECT string_agg(concat_ws(':', m.oid, m.since, t.oid, t.xmin, p.xmin), ',' ORDER BY m.oid, t.oid)
                  FROM part m
                  LEFT JOIN (pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p
                             ON p.oid = t.tgfoid AND p.pronamespace = (SELECT to_regnamespace('tillsync'))) ON t.tgrelid = m.oid)
           END)) AS shape,
       md5(concat_ws(' ', c.oid, l.oid, h.oid,
           (SELECT string_agg(concat_ws(':', t.oid, t.xmin, p.oid, p.xmin), ',' ORDER BY t.oid)
              FROM pg_catalog.pg_trigger t
              JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
             WHERE t.tgrelid = c.oid AND p.pronamespace = (SELECT to_regnamespace('tillsync'))))) AS guard
  FROM tillsync.seen s
  LEFT JOIN tillsync.captured k ON k.tab = s.tab
  LEFT JOIN pg_catalog.pg_class c
    ON c.oid = to_regclass(quote_ident(split_part(s.tab, '.', 1)) || '.' || quote_ident(substr(s.tab, strpos(s.tab, '.') + 1)))
  LEFT JOIN pg_catalog.pg_class l ON l.oid = to_regclass('tillsync.' || quote_ident(k.log))
  LEFT JOIN pg_catalog.pg_class h ON h.oid = to_regclass('tillsync.' || quote_ident(k.hold))
OFFSET 0;  -- planned once, whatever asks
-- what tells changes that fire no trigger. made: each column's number, its catalog row's version and, if it is generated, by
-- what, by name; heap: where the rows lie; parts: of each table below, since when it is there and what captures it, by its oid;
-- ddl: all of that but the triggers
CREATE OR REPLACE VIEW tillsync.made AS
SELECT s.tab, m.made, m.heap, below.parts, md5(concat_ws(' ', m.made, m.heap, below.since)) AS ddl
  FROM tillsync.seen s
  JOIN pg_catalog.pg_class c
    ON c.oid = to_regclass(quote_ident(split_part(s.tab, '.', 1)) || '.' || quote_ident(substr(s.tab, strpos(s.tab, '.') + 1)))
 CROSS JOIN LATERAL (
       SELECT jsonb_object_agg(a.attname, jsonb_build_array(a.attnum, a.xmin::text, d.oid)) AS made,
              md5(concat_ws(' ', pg_relation_filenode(c.oid),
                  (SELECT string_agg(pg_relation_filenode(p.relid)::text, ',' ORDER BY p.relid::oid)
                     FROM pg_partition_tree(c.oid) p))) AS heap
         FROM pg_catalog.pg_attribute a
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) m
 CROSS JOIN LATERAL (
       WITH RECURSIVE part (oid, since) AS (
            SELECT i.inhrelid, i.xmin::text FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid
            UNION ALL SELECT i.inhrelid, i.xmin::text FROM part JOIN pg_catalog.pg_inherits i ON i.inhparent = part.oid)
       SELECT coalesce(jsonb_object_agg(p.oid, jsonb_build_array(part.since,
                  (SELECT string_agg(concat_ws(':', t.oid, t.xmin, f.xmin), ',' ORDER BY t.oid)
                     FROM pg_catalog.pg_trigger t
                     JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid AND f.pronamespace = (SELECT to_regnamespace('tillsync'))
                    WHERE t.tgrelid = p.oid))), '{}') AS parts,
              string_agg(concat_ws(':', p.oid, part.since), ',' ORDER BY p.oid) AS since
         FROM part JOIN pg_catalog.pg_class p ON p.oid = part.oid AND p.relpersistence <> 't') below;
-- tables of which rows may have changed that nobody captured: what captures them is not what it was, a column is another one
-- under the same name, is generated otherwise, or a rewrite altered it; or a table below is gone, or was away
CREATE OR REPLACE VIEW tillsync.torn AS
SELECT w.tab FROM tillsync.watched w JOIN tillsync.seen s USING (tab)
 WHERE s.guard <> w.guard
    OR EXISTS (SELECT FROM tillsync.made m, jsonb_each(s.made) old JOIN jsonb_each(m.made) new USING (key)
                WHERE m.tab = w.tab
                  AND (old.value -> 0 <> new.value -> 0 OR old.value -> 2 <> new.value -> 2
                       OR old.value <> new.value AND s.heap <> m.heap))
    OR EXISTS (SELECT FROM tillsync.made m, jsonb_each(s.parts) old
                WHERE m.tab = w.tab AND old.value IS DISTINCT FROM m.parts -> old.key);
-- tables that came below one of the plan's, with rows that nobody captured
CREATE OR REPLACE VIEW tillsync.came AS
SELECT s.tab, n.nspname || '.' || c.relname AS part, c.relkind = 'r' AS has_rows
  FROM tillsync.seen s
  JOIN tillsync.made m USING (tab)
 CROSS JOIN LATERAL jsonb_object_keys(m.parts) new (key)
  JOIN pg_catalog.pg_class c ON c.oid = new.key::oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT s.parts ? new.key;

-- reports of comparisons. scope: what was compared, empty for everything; totals: its sums, which make the trend
CREATE TABLE IF NOT EXISTS tillsync.reconciliation (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at      timestamptz NOT NULL,
    scope        text NOT NULL,
    equal        boolean NOT NULL,
    totals       jsonb NOT NULL,
    body         text NOT NULL
);
CREATE INDEX IF NOT EXISTS reconciliation_made_at ON tillsync.reconciliation (scope, made_at);

-- what the last comparison said of each table and check of the books at each branch, as of a tick
CREATE TABLE IF NOT EXISTS tillsync.standing (
    node          text NOT NULL REFERENCES tillsync.node ON DELETE CASCADE,
    kind          text NOT NULL CHECK (kind IN ('table', 'book')),
    what          text NOT NULL,
    rows          bigint NOT NULL,
    tick          bigint,
    compared_at   timestamptz NOT NULL,
    differs_since timestamptz,
    equal_at      timestamptz,
    PRIMARY KEY (node, kind, what)
);
CREATE INDEX IF NOT EXISTS standing_differs ON tillsync.standing (differs_since) WHERE differs_since IS NOT NULL;

-- what is known of troubles: suspected, told, clearing, or quiet for a day after its end
CREATE TABLE IF NOT EXISTS tillsync.alert (
    cause        text NOT NULL,
    subject      text NOT NULL,
    state        text NOT NULL CHECK (state IN ('suspected', 'told', 'clearing', 'quiet')),
    since        timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    what         text NOT NULL,
    remedy       text NOT NULL,
    flaps        integer NOT NULL,
    PRIMARY KEY (cause, subject)
);

-- messages about them, one row for each way that they go
CREATE TABLE IF NOT EXISTS tillsync.message (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    way          text NOT NULL,
    kind         text NOT NULL,
    title        text NOT NULL,
    body         jsonb NOT NULL,
    at           timestamptz NOT NULL,
    next_at      timestamptz NOT NULL,
    tries        integer NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    error        text
);
CREATE INDEX IF NOT EXISTS message_unsent ON tillsync.message (id) WHERE sent_at IS NULL;

CREATE TABLE IF NOT EXISTS tillsync.notified (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    digest_on    date
);

REVOKE ALL ON SCHEMA tillsync FROM PUBLIC;
