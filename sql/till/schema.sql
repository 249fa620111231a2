-- Tillsync's own tables in a till's SQLite file. Every name starts with tillsync_, and nothing but SQL of SQLite 3.24
-- is used, because the till's application opens this file with whatever SQLite it was built with.
--
-- Run inside one transaction. Every statement may be run again.

-- One row: where this till stands. The triggers read `applying`; only the agent writes here.
-- A position in the changelog is (seq, nonce); (0, 0) is the origin. resend_seq is null where nothing is to be sent again.
-- sealed_seq: everything up to it is on the disk; seals counts how often that was made sure.
CREATE TABLE IF NOT EXISTS tillsync_state (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    applying     INTEGER NOT NULL DEFAULT 0,
    format       INTEGER NOT NULL DEFAULT 1,
    instance     INTEGER NOT NULL,
    node         TEXT,
    plan_version INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    tick         INTEGER NOT NULL DEFAULT 0,
    token        INTEGER NOT NULL DEFAULT 0,
    pushed_seq   INTEGER NOT NULL DEFAULT 0,
    pushed_nonce INTEGER NOT NULL DEFAULT 0,
    ack_seq      INTEGER NOT NULL DEFAULT 0,
    ack_nonce    INTEGER NOT NULL DEFAULT 0,
    resend_seq   INTEGER,
    resend_nonce INTEGER,
    sealed_seq   INTEGER NOT NULL DEFAULT 0,
    seals        INTEGER NOT NULL DEFAULT 0
);

-- What the application changed, in the order in which it did. op is I, U, D, or M: a mark to look again, which the
-- agent turns into a D or removes. The images o1.. and n1.. (added by the installation, as wide as the widest table)
-- have no declared type, so that every value is stored exactly as it is.
-- No unique rule but the key: a conflict clause of the application's own statement reaches into triggers.
-- seq needs no AUTOINCREMENT, which would write another page with every commit of the application: SQLite goes on after the
-- newest entry, and that is never purged. A number that a void mark leaves free was never shipped.
CREATE TABLE IF NOT EXISTS tillsync_changelog (
    seq   INTEGER PRIMARY KEY,
    nonce INTEGER NOT NULL,
    tab   INTEGER NOT NULL,
    op    TEXT NOT NULL,
    at    INTEGER NOT NULL
);
-- Earlier versions had an index of the marks, which each write of the application's paid for.
DROP INDEX IF EXISTS tillsync_changelog_mark;

-- One row: up to where the agent has put the changelog in order and its marks are settled. No mark is older.
CREATE TABLE IF NOT EXISTS tillsync_settled (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
);
INSERT OR IGNORE INTO tillsync_settled
SELECT 1, coalesce(min(CASE op WHEN 'M' THEN seq END) - 1, max(seq), 0) FROM tillsync_changelog;

-- Where uploads of this till's former lives end: the relay had them when the file came back from a backup. They are no other
-- machine's, should the relay come back from a backup, too, and have nothing newer.
CREATE TABLE IF NOT EXISTS tillsync_former (
    seq   INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    PRIMARY KEY (seq, nonce)
);

-- What the images of a changelog entry are (changelog.tab = shape.id). A shape never changes: other columns, other id.
-- central, columns and key are central's names, till and till_columns the till's; encodings says how each column was stored,
-- [] where all in their type's own way. Lists are JSON arrays.
CREATE TABLE IF NOT EXISTS tillsync_shape (
    id           INTEGER PRIMARY KEY,
    central      TEXT NOT NULL,
    columns      TEXT NOT NULL,
    key          TEXT NOT NULL,
    till         TEXT NOT NULL,
    till_columns TEXT NOT NULL,
    encodings    TEXT NOT NULL DEFAULT '[]'
);

CREATE TABLE IF NOT EXISTS tillsync_plan (
    version INTEGER PRIMARY KEY,
    body    TEXT NOT NULL
);

-- The streams that this till takes; loaded_tick is the tick whose snapshot it has, null where it never had one of the channel,
-- 0 where it needs one again.
CREATE TABLE IF NOT EXISTS tillsync_stream (
    stream      INTEGER PRIMARY KEY,
    channel     TEXT NOT NULL,
    loaded_tick INTEGER
);

-- What the till's operator must see: the net change of a watched column in one tick. acked: when somebody acknowledged it, and
-- acked_by who. The application may read and acknowledge, too: docs/labels.md.
CREATE TABLE IF NOT EXISTS tillsync_notice (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,
    central  TEXT NOT NULL,
    till     TEXT NOT NULL,
    key      TEXT NOT NULL,
    "column" TEXT NOT NULL,
    old,
    new,
    tick     INTEGER NOT NULL,
    at       TEXT NOT NULL,
    acked    TEXT,
    acked_by TEXT
);
DROP INDEX IF EXISTS tillsync_notice_open;  -- of earlier versions
CREATE INDEX IF NOT EXISTS tillsync_notice_value ON tillsync_notice (kind, central, key, "column", id) WHERE acked IS NULL;

-- What is due: per value the change since it was last acknowledged. A value that went and came back is none. id is that of the
-- newest change; to acknowledge it is to acknowledge all of that value up to it.
CREATE VIEW IF NOT EXISTS tillsync_notice_due AS
SELECT last.id, last.kind, last.central, last.till, last.key, last."column", first.old, last.new, last.tick,
       first.at AS since, last.at
  FROM (SELECT min(id) AS first, max(id) AS last FROM tillsync_notice WHERE acked IS NULL
         GROUP BY kind, central, key, "column") AS open
  JOIN tillsync_notice AS first ON first.id = open.first
  JOIN tillsync_notice AS last ON last.id = open.last
 WHERE first.old IS NOT last.new;

-- Changes of this till's that central has parked: until that is decided their rows are left as they are here. key is the
-- row's key as msgpack, by central's names.
CREATE TABLE IF NOT EXISTS tillsync_held (
    seq     INTEGER PRIMARY KEY,
    nonce   INTEGER NOT NULL,
    central TEXT NOT NULL,
    key     BLOB NOT NULL,
    reason  TEXT NOT NULL,
    tick    INTEGER NOT NULL,
    at      TEXT NOT NULL
);

-- Rows of central's that could not be put ('waiting': body is the row as msgpack, tried again with each apply; 'unfit':
-- the till's columns cannot hold its values), and rows whose parent is missing ('orphan': only reported).
CREATE TABLE IF NOT EXISTS tillsync_problem (
    central TEXT NOT NULL,
    key     TEXT NOT NULL,
    kind    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    body    BLOB,
    tick    INTEGER NOT NULL,
    at      TEXT NOT NULL,
    PRIMARY KEY (central, key, kind)
);

-- Rows that the file had before its first load and that head office does not give it: the statements that put them back.
CREATE TABLE IF NOT EXISTS tillsync_extra (
    id        INTEGER PRIMARY KEY,
    central   TEXT NOT NULL,
    statement TEXT NOT NULL,
    tick      INTEGER NOT NULL,
    at        TEXT NOT NULL
);

-- One row: what the agent watches the file by. schema_version is SQLite's own, as it was when triggers and rows were last
-- found in order; followed_seq is how far tillsync_known_* follow the changelog; software last took the plan, whose MD5
-- is plan_digest, when plan_top was the relay's newest tick: later ones are made by this plan, or head office has lost it.
-- The tables tillsync_known_<shape> are made by the installation: what captured rows were last seen as, so that what was
-- written while the triggers were gone can be told.
CREATE TABLE IF NOT EXISTS tillsync_watch (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    schema_version INTEGER NOT NULL,
    followed_seq   INTEGER NOT NULL,
    software       TEXT NOT NULL,
    plan_digest    TEXT,
    plan_top       INTEGER
);
INSERT OR IGNORE INTO tillsync_watch (one, schema_version, followed_seq, software) VALUES (1, -1, 0, '');

-- What the plan asks for and this file does not have: a column, or (column '') a table that fits. Rows of such a table, and
-- values of such a column, stay away until the file has it.
CREATE TABLE IF NOT EXISTS tillsync_lack (
    central  TEXT NOT NULL,
    "column" TEXT NOT NULL,
    code     TEXT NOT NULL,
    reason   TEXT NOT NULL,
    hint     TEXT NOT NULL,
    PRIMARY KEY (central, "column")
);

-- One row: the newest backup of this file.
CREATE TABLE IF NOT EXISTS tillsync_backup (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    at    TEXT NOT NULL,
    path  TEXT NOT NULL,
    bytes INTEGER NOT NULL
);
