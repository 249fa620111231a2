-- Merging an upload at central, as blocks. Names in braces are filled in per table of the plan and never pasted:
--   {stage}   temporary table of one table's changes: at (twice the position, plus one for what is not a delete),
--             nonce, had and has (is there an old, a new image), n0.. (new, or the key of a delete), o0.. (old)
--   {work}    the same with there (has central the row), c0.. (central's values), v0.. (the outcome) and an action:
--             I insert, U update, D delete, K keep, ? a policy must say
--   {target}  the application's table, {log} its log; {match} joins target t to stage or work s by the whole key

-- name: facts
-- columns of the plan's tables. compare: `typed` where PostgreSQL's equality means the same value (numeric 1.0 = 1.00
-- does), `string` where it must be made bytewise, `text` where the stored form has to be compared.
SELECT n.nspname || '.' || c.relname AS tab, a.attname AS name, NOT a.attnotnull AS nullable,
       format_type(a.atttypid, a.atttypmod) AS type, format_type(b.oid, NULL) AS base,
       CASE WHEN a.attcollation NOT IN (0, 100) THEN format('%%I.%%I', m.nspname, l.collname) END AS collation,
       CASE WHEN b.typname IN ('text', 'varchar', 'bpchar', 'name') THEN 'string'
            WHEN b.typtype = 'e' OR b.typname IN ('int2', 'int4', 'int8', 'bool', 'numeric', 'float4', 'float8', 'date', 'time',
                 'timestamp', 'timestamptz', 'uuid', 'bytea', 'oid') THEN 'typed'
            ELSE 'text' END AS compare
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
  LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_namespace m ON m.oid = l.collnamespace
 WHERE n.nspname || '.' || c.relname = ANY (%(tables)s)

-- name: references
-- which of these tables refer to which: parents must be there before their children
SELECT DISTINCT cn.nspname || '.' || c.relname AS child, pn.nspname || '.' || p.relname AS parent,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place) AS referred
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
  JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
 WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
   AND cn.nspname || '.' || c.relname = ANY (%(tables)s) AND pn.nspname || '.' || p.relname = ANY (%(tables)s)

-- name: node
SELECT node, params, state FROM tillsync.node WHERE node = %(node)s

-- name: give_way
-- a lock is waited for half as long as it takes PostgreSQL to look for a deadlock, so that the application is never its victim
SELECT set_config('lock_timeout', least(nullif(extract(epoch FROM current_setting('lock_timeout')::interval), 0),
                                        extract(epoch FROM current_setting('deadlock_timeout')::interval) / 2) * 1000 || 'ms', true)

-- name: lock_node
-- one collector at a time may decide what is new of a node
SELECT node FROM tillsync.node WHERE node = %(node)s FOR NO KEY UPDATE

-- name: standing
-- where a node's history stands, seen from a group of its changes: is the group taken, are its ends known
WITH given (name, seq, nonce) AS (
    VALUES ('prev', %(prev_seq)s::bigint, %(prev_nonce)s::bigint), ('end', %(end_seq)s::bigint, %(end_nonce)s::bigint)),
known AS (
    SELECT g.name, (g.seq = 0 AND g.nonce = 0) OR EXISTS (
        SELECT FROM tillsync.inbound i
         WHERE i.node = %(node)s AND i.last_seq >= g.seq AND i.first_seq <= g.seq
           AND i.nonces[array_position(i.seqs, g.seq)] = g.nonce) AS is_known
      FROM given g)
SELECT EXISTS (SELECT FROM tillsync.taken WHERE node = %(node)s AND uid = %(uid)s) AS taken,
       (SELECT is_known FROM known WHERE name = 'prev') AS prev_known,
       (SELECT is_known FROM known WHERE name = 'end') AS end_known,
       coalesce(a.seq, 0) AS seq, coalesce(a.nonce, 0) AS nonce, coalesce(a.straight, true) AS straight,
       coalesce((SELECT f.seq FROM tillsync.floor f WHERE f.node = %(node)s), 0) AS floor
  FROM (SELECT) one LEFT JOIN tillsync.applied a ON a.node = %(node)s

-- name: note_gap
-- the node must send again after its last ack; the next tick tells it. Not oftener than every ten seconds: the group
-- that was found to be out of place stays where it is until what comes before it has arrived.
INSERT INTO tillsync.gap AS g (node) VALUES (%(node)s)
ON CONFLICT (node) DO UPDATE SET xid = excluded.xid, at = excluded.at WHERE g.at < clock_timestamp() - interval '10 seconds'

-- name: take
INSERT INTO tillsync.taken (node, uid) VALUES (%(node)s, %(uid)s)

-- name: not_taken
-- of these groups those that were never merged here
SELECT g.node, g.uid FROM unnest(%(nodes)s::text[], %(uids)s::bigint[]) g (node, uid)
 WHERE NOT EXISTS (SELECT FROM tillsync.taken t WHERE (t.node, t.uid) = (g.node, g.uid)) ORDER BY g.node, g.uid

-- name: note_applied
INSERT INTO tillsync.applied (node, seq, nonce, straight) VALUES (%(node)s, %(seq)s, %(nonce)s, %(straight)s)
ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, nonce = excluded.nonce, straight = excluded.straight,
    xid = excluded.xid, at = excluded.at

-- name: note_inbound
INSERT INTO tillsync.inbound (node, uid, first_seq, last_seq, seqs, nonces)
VALUES (%(node)s, %(uid)s, %(first)s, %(last)s, %(seqs)s::bigint[], %(nonces)s::bigint[])

-- name: known_positions
-- which positions between two numbers have been merged before
SELECT u.seq, u.nonce FROM tillsync.inbound i, unnest(i.seqs, i.nonces) u (seq, nonce)
 WHERE i.node = %(node)s AND i.last_seq >= %(first)s AND i.first_seq <= %(last)s
   AND u.seq BETWEEN %(first)s AND %(last)s

-- name: make_stage
CREATE TEMP TABLE IF NOT EXISTS {stage} (at bigint NOT NULL, nonce bigint NOT NULL,
    had boolean NOT NULL DEFAULT false, has boolean NOT NULL DEFAULT true, {stage_columns}) ON COMMIT DELETE ROWS

-- name: empty_stage
TRUNCATE {stage}

-- name: make_work
CREATE TEMP TABLE IF NOT EXISTS {work} (at bigint NOT NULL, nonce bigint NOT NULL,
    had boolean NOT NULL, has boolean NOT NULL, there boolean NOT NULL, action text NOT NULL, {work_columns}) ON COMMIT DELETE ROWS

-- name: empty_work
TRUNCATE {work}

-- name: ask_echo
-- the node learns the row's authoritative state, or its absence, with the next tick
INSERT INTO tillsync.{log} (origin, {key}) SELECT DISTINCT %(node)s::text, {key_values} FROM {stage} s

-- name: ask_echo_of
INSERT INTO tillsync.{log} (origin, {key}) SELECT %(node)s::text, {given_key}

-- name: drop_known
-- changes that an earlier upload brought are not merged again
DELETE FROM {stage} s
 USING (SELECT u.seq, u.nonce FROM tillsync.inbound i, unnest(i.seqs, i.nonces) u (seq, nonce)
         WHERE i.node = %(node)s AND i.last_seq >= %(first)s AND i.first_seq <= %(last)s) k
 WHERE s.at >> 1 = k.seq AND s.nonce = k.nonce

-- name: refuse
-- a change of a table that only goes down: recorded, and put right at the till by the echo
INSERT INTO tillsync.conflict (node, uid, seq, nonce, tab, key, policy, columns, base, theirs, winner)
SELECT %(node)s, %(uid)s, s.at >> 1, s.nonce, %(tab)s, {key_json}, 'down', {changed_columns},
       CASE WHEN s.had THEN {old_json} END, CASE WHEN s.has THEN {new_json} END, 'central'
  FROM {stage} s ORDER BY s.at

-- name: hold_back
-- changes of rows that have parked changes, or whose document has, wait behind them
WITH behind AS (
    DELETE FROM {stage} s
     WHERE {key_json} IN (SELECT p.key FROM tillsync.parked p WHERE p.node = %(node)s AND p.tab = %(tab)s AND p.state = 'parked')
        OR {document} IN (SELECT p.document FROM tillsync.parked p WHERE p.node = %(node)s AND p.state = 'parked')
    RETURNING s.*)
INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, old, new, reason, sqlstate, document)
SELECT %(node)s, %(uid)s, s.at >> 1, s.nonce, %(tab)s, {key_json}, {op},
       CASE WHEN s.had THEN {old_json} END, CASE WHEN s.has THEN {new_json} END,
       'waits behind a parked change of the same row or document', '', {document}
  FROM behind s ORDER BY s.at

-- name: of_documents
-- how many rows of documents are staged
SELECT count(*) FROM {stage} s WHERE {document} = ANY (%(documents)s)

-- name: documents_of
-- the documents that rows of the work table belong to
SELECT DISTINCT {document} FROM {work} s WHERE s.at = ANY (%(ats)s::bigint[])

-- name: take_out
-- documents that cannot be merged whole
WITH gone AS (DELETE FROM {stage} s WHERE {document} = ANY (%(documents)s) RETURNING s.*)
INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, old, new, reason, sqlstate, document)
SELECT %(node)s, %(uid)s, s.at >> 1, s.nonce, %(tab)s, {key_json}, {op},
       CASE WHEN s.had THEN {old_json} END, CASE WHEN s.has THEN {new_json} END,
       coalesce(f.reason, 'waits with its document'), coalesce(f.sqlstate, ''), {document}
  FROM gone s LEFT JOIN unnest(%(ats)s::bigint[], %(reasons)s::text[], %(sqlstates)s::text[]) f (at, reason, sqlstate) USING (at)
 ORDER BY s.at

-- name: drop_documents
-- the same for changes that are parked already
DELETE FROM {stage} s WHERE {document} = ANY (%(documents)s) RETURNING s.at

-- name: insert_staged
-- nothing but new rows: no need to look at what is there. A key that is there already fails, and all is looked at.
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {new_values} FROM {stage} s

-- name: drop_deletes
-- of a table that a till only adds to: what it tidied away before it was sent has been sold all the same
DELETE FROM {stage} s WHERE NOT s.has

-- name: collapse
-- what several changes of one row come to: the first one's old image and the last one's new image. Said is the place of the
-- first that does not go on where the one before it ended, which then must not be taken together: in between the till had
-- taken head office's row, with what others did to it.
WITH twice AS (SELECT {stage_key} FROM {stage} s GROUP BY {stage_key} HAVING count(*) > 1),
gone AS (DELETE FROM {stage} s USING twice k WHERE {same_key} RETURNING s.*),
firsts AS (SELECT DISTINCT ON ({stage_key}) s.* FROM gone s ORDER BY {stage_key}, s.at),
lasts AS (SELECT DISTINCT ON ({stage_key}) s.* FROM gone s ORDER BY {stage_key}, s.at DESC),
together AS (INSERT INTO {stage} (at, nonce, had, has, {n}, {o})
             SELECT s.at, s.nonce, k.had, s.has, {s_n}, {k_o} FROM firsts k JOIN lasts s ON {same_key})
SELECT min(r.at) FROM (SELECT s.at, s.had, lag(s.has) OVER w AS was, {torn} AS torn
                         FROM gone s WINDOW w AS (PARTITION BY {stage_key} ORDER BY s.at)) r
 WHERE r.had AND (NOT r.was OR r.torn AND r.was IS NOT NULL)

-- name: make_later
CREATE TEMP TABLE IF NOT EXISTS {later} (LIKE {stage}) ON COMMIT DELETE ROWS

-- name: set_aside
-- changes from a place on, until those before it are merged
WITH later AS (DELETE FROM {stage} WHERE at >= %(at)s RETURNING *) INSERT INTO {later} SELECT * FROM later

-- name: bring_back
WITH later AS (DELETE FROM {later} RETURNING *) INSERT INTO {stage} SELECT * FROM later

-- name: lock
-- in the order of the key, so that two writers that do the same cannot wait for each other
SELECT count(*) FROM (SELECT FROM {target} t JOIN {stage} s ON {match} ORDER BY {target_key} FOR NO KEY UPDATE OF t) locked

-- name: classify
INSERT INTO {work} (at, nonce, had, has, there, {n}, {o}, {c}, {v}, action)
SELECT s.at, s.nonce, s.had, s.has, s.there, {s_n}, {s_o}, {s_c}, {outcome},
       CASE WHEN NOT s.had AND NOT s.has THEN 'K'
            WHEN NOT s.has AND (NOT s.there OR NOT {deletes}) THEN 'K'
            WHEN NOT s.has AND {moved_here} THEN '?'
            WHEN NOT s.has THEN 'D'
            WHEN NOT s.there AND s.had THEN '?'
            WHEN NOT s.there THEN 'I'
            WHEN NOT s.had AND {differs} THEN '?'
            WHEN NOT s.had THEN 'K'
            WHEN {clashes} THEN '?'
            ELSE 'U' END
  FROM (SELECT s.*, t.{one_key} IS NOT NULL AS there, {t_c} FROM {stage} s LEFT JOIN {target} t ON {match}) s

-- name: contested
-- rows that a policy must judge, as text, with what differs from what, a digit per field: new from old, central from old,
-- new from central
SELECT s.at, s.nonce, s.had, s.has, s.there,
       ARRAY[{n_text}]::text[] AS n, ARRAY[{o_text}]::text[] AS o, ARRAY[{c_text}]::text[] AS c, {n_o}, {c_o}, {n_c}
  FROM {work} s WHERE s.action = '?' ORDER BY s.at LIMIT %(rows_max)s

-- name: answers
-- what a function of the DBA's makes of contested rows: values as text, NULL for no row
SELECT s.at, CASE WHEN f.answer IS NOT NULL
                  THEN coalesce((SELECT json_object_agg(e.key, e.value) FROM jsonb_each_text(f.answer) e), '{{}}') END
  FROM {work} s
 CROSS JOIN LATERAL (SELECT nullif({function}(CASE WHEN s.had THEN {old_json} END, CASE WHEN s.has THEN {new_json} END,
                                              CASE WHEN s.there THEN {central_json} END), 'null'::jsonb) AS answer) f
 WHERE s.action = '?' AND s.at = ANY (%(ats)s::bigint[])

-- name: judge
-- what the policies said
UPDATE {work} w SET action = r.action, {judged}
  FROM json_to_recordset(%(rows)s::json) r (at bigint, action text, v json) WHERE w.at = r.at

-- name: foreign
-- rows of central's that the node may not write
SELECT s.at FROM {work} s JOIN {target} t ON {match} CROSS JOIN {parameters}
 WHERE s.action <> 'K' AND NOT coalesce({scope}, false)

-- name: strayed
-- rows that were written and are none of the node's
SELECT s.at FROM {work} s JOIN {target} t ON {match} CROSS JOIN {parameters}
 WHERE s.action IN ('I', 'U') AND NOT coalesce({scope}, false)

-- name: moved_away
-- of these, rows that were the node's until central gave them to others: its change comes too late. Either a tick had told
-- that the row is the node's, or the node itself has written it, and what it sent was merged.
WITH late AS (
    UPDATE {work} s SET action = 'K'
     WHERE s.at = ANY (%(ats)s::bigint[]) AND s.had
       AND (EXISTS (SELECT FROM tillsync.{hold} t JOIN tillsync.subscription u ON u.stream = t.stream AND u.node = %(node)s
                     WHERE {match})
            OR EXISTS (SELECT FROM tillsync.{log} t
                        WHERE t.origin = %(node)s AND t.xid <> pg_current_xact_id() AND {match}
                          AND EXISTS (SELECT FROM tillsync.{log} x WHERE x.xid = t.xid AND x.origin IS NULL AND {same_row})))
    RETURNING s.*)
INSERT INTO tillsync.conflict (node, uid, seq, nonce, tab, key, policy, columns, base, theirs, winner)
SELECT %(node)s, %(uid)s, s.at >> 1, s.nonce, %(tab)s, {key_json}, 'moved away', {changed_columns},
       {old_json}, CASE WHEN s.has THEN {new_json} END, 'central'
  FROM late s ORDER BY s.at
RETURNING seq * 2 + (theirs IS NOT NULL)::int

-- name: columns_ever
-- every column of a table that a version of the plan has shipped
SELECT DISTINCT c ->> 'name' AS name
  FROM tillsync.plan p, jsonb_array_elements(p.body::jsonb -> 'channels') h, jsonb_array_elements(h -> 'tables') t,
       jsonb_array_elements(t -> 'columns') c
 WHERE t ->> 'name' = %(tab)s

-- name: give_up
UPDATE {work} SET action = 'F' WHERE at = ANY (%(ats)s)

-- name: note_conflict
INSERT INTO tillsync.conflict (node, uid, seq, nonce, tab, key, policy, columns, base, theirs, ours, outcome, winner, note, state)
VALUES (%(node)s, %(uid)s, %(seq)s, %(nonce)s, %(tab)s, %(key)s, %(policy)s, %(columns)s, %(base)s, %(theirs)s, %(ours)s, %(outcome)s,
        %(winner)s, %(note)s, %(state)s)

-- name: forget_conflict
-- of a change that was parked after all
DELETE FROM tillsync.conflict WHERE node = %(node)s AND uid = %(uid)s AND tab = %(tab)s AND seq = %(seq)s

-- name: places
SELECT s.at FROM {work} s WHERE s.action = ANY (%(actions)s) ORDER BY s.at

-- name: insert
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {outcome_values} FROM {work} s
 WHERE s.action = 'I' AND (%(ats)s::bigint[] IS NULL OR s.at = ANY (%(ats)s::bigint[])) ORDER BY s.at

-- name: changed
-- which sets of columns change: each gets a statement of its own, so that no trigger sees a column it should not
SELECT DISTINCT {mask} AS mask FROM {work} s
 WHERE s.action = 'U' AND (%(ats)s::bigint[] IS NULL OR s.at = ANY (%(ats)s::bigint[])) ORDER BY 1

-- name: vacate
-- rows whose unique values become others let go of them, so that such values may change hands within an upload
UPDATE {target} t SET {emptied} FROM {work} s WHERE {match} AND s.action = 'U' AND ({handed_on})

-- name: update
UPDATE {target} t SET {assignments} FROM {work} s
 WHERE {match} AND s.action = 'U' AND {mask} = %(mask)s AND (%(ats)s::bigint[] IS NULL OR s.at = ANY (%(ats)s::bigint[]))

-- name: delete
DELETE FROM {target} t USING {work} s
 WHERE {match} AND s.action = 'D' AND (%(ats)s::bigint[] IS NULL OR s.at = ANY (%(ats)s::bigint[]))

-- name: park
-- rows that central cannot take, with what it said; they are tried again
INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, old, new, reason, sqlstate, document)
SELECT %(node)s, %(uid)s, s.at >> 1, s.nonce, %(tab)s, {key_json}, {op},
       CASE WHEN s.had THEN {old_json} END, CASE WHEN s.has THEN {new_json} END, f.reason, f.sqlstate, {document}
  FROM {work} s JOIN unnest(%(ats)s::bigint[], %(reasons)s::text[], %(sqlstates)s::text[]) f (at, reason, sqlstate) USING (at)
 ORDER BY s.at

-- name: park_unread
-- a change that could not even be staged
INSERT INTO tillsync.parked (node, uid, seq, nonce, tab, key, op, old, new, reason, sqlstate, document)
VALUES (%(node)s, %(uid)s, %(seq)s, %(nonce)s, %(tab)s, %(key)s, %(op)s, %(old)s, %(new)s, %(reason)s, %(sqlstate)s, %(document)s)

-- name: any_parked
SELECT EXISTS (SELECT FROM tillsync.parked WHERE node = %(node)s AND state = 'parked') AS any_parked

-- name: lock_parked
SELECT count(*) FROM (SELECT FROM tillsync.parked WHERE node = %(node)s AND state = 'parked' ORDER BY id FOR UPDATE) p

-- name: parked_nodes
-- nodes with parked changes that are due: the first tries in every round, then one every five seconds
SELECT p.node FROM tillsync.parked p JOIN tillsync.node n ON n.node = p.node AND n.state = 'active'
 WHERE p.state = 'parked' AND (%(force)s OR p.tries <= 3 + extract(epoch FROM clock_timestamp() - p.at) / 5)
   AND (%(ids)s::bigint[] IS NULL OR p.id = ANY (%(ids)s::bigint[]))
 GROUP BY p.node ORDER BY p.node

-- name: parked_of
-- in the order of their groups, and within one in that of the till
SELECT id, tab, key, old, new, stamp, stamp_note, document FROM (
    SELECT p.*, min(p.id) OVER (PARTITION BY p.uid) AS min_id FROM tillsync.parked p
     WHERE p.node = %(node)s AND p.state = 'parked') p
 WHERE %(ids)s::bigint[] IS NULL OR (tab, key) IN (SELECT tab, key FROM tillsync.parked WHERE id = ANY (%(ids)s::bigint[]))
    OR document IN (SELECT document FROM tillsync.parked WHERE id = ANY (%(ids)s::bigint[]))
 ORDER BY min_id, seq, id LIMIT %(rows_max)s

-- name: retried
UPDATE tillsync.parked p SET tries = p.tries + 1, reason = r.reason, sqlstate = r.sqlstate, state = r.state,
       xid = CASE WHEN p.state = r.state THEN p.xid ELSE pg_current_xact_id() END
  FROM unnest(%(ids)s::bigint[], %(reasons)s::text[], %(sqlstates)s::text[], %(states)s::text[]) r (id, reason, sqlstate, state)
 WHERE p.id = r.id

-- name: parked_list
SELECT id, at, node, tab, key, op, old, new, reason, sqlstate, tries, state FROM tillsync.parked
 WHERE (%(node)s::text IS NULL OR node = %(node)s) AND (%(all)s OR state = 'parked') ORDER BY id

-- name: parked_drop
-- with all that waits of the same rows and documents
UPDATE tillsync.parked p SET state = 'dropped', xid = pg_current_xact_id()
  FROM (SELECT DISTINCT node, tab, key, document FROM tillsync.parked WHERE id = ANY (%(ids)s) AND state = 'parked') d
 WHERE p.state = 'parked' AND p.node = d.node AND (p.document = d.document OR (p.tab = d.tab AND p.key = d.key))
RETURNING p.id, p.node, p.tab, p.key

-- name: analyze
ANALYZE {stage}
