-- Head office's side of a comparison. Those with names to fill in ({name}) are composed, never pasted.

-- name: start
-- a comparison takes the place of the branch's earlier one
INSERT INTO tillsync.comparing (node, id, asks, books)
SELECT n.node, %(id)s, %(asks)s, %(books)s FROM tillsync.node n WHERE n.state = 'active' AND n.node = ANY (%(nodes)s)
ON CONFLICT (node) DO UPDATE SET id = excluded.id, step = 0, asks = excluded.asks, books = excluded.books, found = '{}', at = clock_timestamp()

-- name: due
-- steps that no published or intended tick carries
SELECT c.node, c.id, c.step, c.asks, c.books FROM tillsync.comparing c JOIN tillsync.node n USING (node)
 WHERE n.state = 'active'
   AND NOT EXISTS (SELECT FROM tillsync.compare_ask a JOIN tillsync.carrying i ON i.n = a.n AND i.token = a.token
                    WHERE (a.node, a.id, a.step) = (c.node, c.id, c.step))
 ORDER BY c.node

-- name: any_due
-- asked: steps of comparisons; again: rows that are to be sent again
SELECT EXISTS (SELECT FROM tillsync.comparing c JOIN tillsync.node n USING (node)
                WHERE n.state = 'active'
                  AND NOT EXISTS (SELECT FROM tillsync.compare_ask a JOIN tillsync.carrying i ON i.n = a.n AND i.token = a.token
                                   WHERE (a.node, a.id, a.step) = (c.node, c.id, c.step))) AS asked,
       EXISTS (SELECT FROM tillsync.again g
                WHERE NOT EXISTS (SELECT FROM tillsync.again_sent a JOIN tillsync.carrying i ON i.n = a.n AND i.token = a.token
                                   WHERE a.id = g.id)) AS again

-- name: due_again
SELECT g.id, g.node, g.keys FROM tillsync.again g
 WHERE NOT EXISTS (SELECT FROM tillsync.again_sent a JOIN tillsync.carrying i ON i.n = a.n AND i.token = a.token WHERE a.id = g.id)
 ORDER BY g.id

-- name: sent_again
INSERT INTO tillsync.again_sent (id, n, token) VALUES (%(id)s, %(n)s, %(token)s)

-- name: again
INSERT INTO tillsync.again (id, node, keys) VALUES (%(id)s, %(node)s, %(keys)s)

-- name: tell_again
-- A branch's question about a row. With it the row is looked at by the filter, too, so that the ledger is put right.
INSERT INTO tillsync.{log} (origin, {key}) VALUES ({node}, {values})

-- name: streams
-- the streams that nodes take as of this tick
SELECT u.node, s.channel, s.stream FROM tillsync.subscription u JOIN tillsync.stream s USING (stream)
 WHERE u.node = ANY (%(nodes)s) AND s.loaded_tick IS NOT NULL

-- name: asked
INSERT INTO tillsync.compare_ask (node, id, step, n, token, plan_version, streams)
VALUES (%(node)s, %(id)s, %(step)s, %(n)s, %(token)s, %(plan_version)s, %(streams)s)

-- name: nodes
SELECT node, params FROM tillsync.node WHERE node = ANY (%(nodes)s)

-- name: down
-- Scope, first bits of the key's hash and canonical texts of the rows that streams hold, by the filter itself: what was not
-- captured is not in the ledger either.
SELECT s.stream::text AS scope, {hash} AS hash, c.*
  FROM ({streams} OFFSET 0) s CROSS JOIN {table} r CROSS JOIN LATERAL (SELECT {columns} OFFSET 0) c
 WHERE {predicate}

-- name: down_many
-- The same for many streams: each row is hashed once, whichever of them hold it.
SELECT s.stream::text AS scope, r.tillsync_hash AS hash, r.tillsync_row AS row
  FROM (SELECT r.*, {hash} AS tillsync_hash, md5({row_text}) AS tillsync_row
          FROM {table} r CROSS JOIN LATERAL (SELECT {columns} OFFSET 0) c OFFSET 0) r
  JOIN ({streams} OFFSET 0) s ON {predicate}

-- name: up
-- The same of rows that nodes sent, as far as what head office sets tells them from others'.
SELECT s.scope, {hash} AS hash, c.*
  FROM (VALUES {scopes}) AS s ({names}) JOIN {table} r ON {is_own} CROSS JOIN LATERAL (SELECT {columns} OFFSET 0) c

-- name: digest
-- Buckets of one table, of all rows or of those whose larger bucket was asked about.
WITH asked (scope, bucket) AS (SELECT * FROM unnest({scopes}::text[], {buckets}::bigint[])),
member AS ({members}),
hashed AS (SELECT m.scope, m.hash >> {shift} AS bucket, {row} AS row FROM member m WHERE {is_asked})
INSERT INTO tillsync.compare_digest (n, scope, tab, kind, bucket, rows, hi, lo)
SELECT {n}, scope, {tab}, {kind}, bucket, count(*), bit_xor(('x' || left(row, 16))::bit(64)::bigint),
       bit_xor(('x' || right(row, 16))::bit(64)::bigint)
  FROM hashed GROUP BY scope, bucket

-- name: rows
-- The rows of buckets that were asked about, at most {rows_max} of a scope.
WITH asked (scope, bucket) AS (SELECT * FROM unnest({scopes}::text[], {buckets}::bigint[])),
member AS ({members}),
numbered AS (SELECT m.*, row_number() OVER (PARTITION BY m.scope) AS place FROM member m WHERE {is_asked})
INSERT INTO tillsync.compare_row (n, scope, tab, kind, bucket, texts)
SELECT {n}, scope, {tab}, {kind}, hash >> {within_shift}, ARRAY[{texts}]::text[] FROM numbered WHERE place <= {rows_max}

-- name: is_asked
EXISTS (SELECT FROM asked a WHERE a.scope = m.scope AND a.bucket = m.hash >> {within_shift})

-- name: lay_down_book
INSERT INTO tillsync.compare_book (n, node, book, body) VALUES (%(n)s, %(node)s, %(book)s, %(body)s) ON CONFLICT DO NOTHING

-- name: books_of
SELECT book, body FROM tillsync.compare_book WHERE n = %(n)s AND node = %(node)s

-- name: side_is_there
INSERT INTO tillsync.compare_side (n) VALUES (%(n)s) ON CONFLICT DO NOTHING

-- name: keep_answer
-- one that was asked for: others are of comparisons that were given up
INSERT INTO tillsync.compare_answer (node, id, step, frame)
SELECT c.node, c.id, c.step, %(frame)s FROM tillsync.comparing c
 WHERE (c.node, c.id, c.step) = (%(node)s, %(id)s, %(step)s)
ON CONFLICT (node, id, step) DO UPDATE SET frame = excluded.frame, at = clock_timestamp()

-- name: answered
-- steps whose two sides are there; side: head office's is
SELECT c.node, c.id, c.step, c.asks, c.books, c.found, a.n, a.token, a.plan_version, a.streams, w.frame, i.at AS tick_at,
       EXISTS (SELECT FROM tillsync.compare_side s WHERE s.n = a.n) AS side
  FROM tillsync.comparing c
  JOIN tillsync.compare_answer w ON (w.node, w.id, w.step) = (c.node, c.id, c.step)
  LEFT JOIN LATERAL (SELECT x.* FROM tillsync.compare_ask x WHERE (x.node, x.id, x.step) = (c.node, c.id, c.step)
                      ORDER BY x.n DESC LIMIT 1) a ON true
  LEFT JOIN tillsync.intent i ON i.n = a.n
 ORDER BY c.node

-- name: digests
SELECT scope, tab, kind, bucket, rows, hi, lo FROM tillsync.compare_digest WHERE n = %(n)s AND scope = ANY (%(scopes)s)

-- name: unlisted
-- Of the rows that a till marked, half the hash of the key and half that of the row, those that head office does not have.
WITH member AS ({members})
SELECT (mark >> 32) & 4294967295 AS hash FROM unnest({marks}::bigint[]) mark
 WHERE NOT EXISTS (SELECT FROM member m WHERE (m.hash << 32) | ('x' || left(md5({row_text}), 8))::bit(32)::bigint = mark)

-- name: rows_of
SELECT texts FROM tillsync.compare_row
 WHERE (n, scope, tab, kind) = (%(n)s, %(scope)s, %(tab)s, %(kind)s) AND bucket = ANY (%(buckets)s::bigint[])

-- name: conflicts_of
-- the keys of which a branch's change met another one
SELECT DISTINCT c.key FROM tillsync.conflict c WHERE c.node = %(node)s AND c.tab = %(tab)s

-- name: ask_again
DELETE FROM tillsync.compare_ask WHERE node = %(node)s AND id = %(id)s AND step = %(step)s

-- name: drop_answer
DELETE FROM tillsync.compare_answer WHERE node = %(node)s AND id = %(id)s

-- name: next_step
UPDATE tillsync.comparing SET step = step + 1, asks = %(asks)s, books = %(books)s, found = %(found)s
 WHERE (node, id, step) = (%(node)s, %(id)s, %(step)s)

-- name: save
INSERT INTO tillsync.compared (node, tab, n, tick_at, body) VALUES (%(node)s, %(tab)s, %(n)s, %(tick_at)s, %(body)s)
ON CONFLICT (node, tab) DO UPDATE SET n = excluded.n, tick_at = excluded.tick_at, at = clock_timestamp(), body = excluded.body

-- name: finish
DELETE FROM tillsync.comparing WHERE (node, id, step) = (%(node)s, %(id)s, %(step)s)

-- name: tidy
-- what no open comparison asked for
WITH open AS (SELECT a.n FROM tillsync.compare_ask a JOIN tillsync.comparing c ON (c.node, c.id, c.step) = (a.node, a.id, a.step)),
asks AS (DELETE FROM tillsync.compare_ask a
          WHERE NOT EXISTS (SELECT FROM tillsync.comparing c WHERE (c.node, c.id, c.step) = (a.node, a.id, a.step))),
answers AS (DELETE FROM tillsync.compare_answer a
             WHERE NOT EXISTS (SELECT FROM tillsync.comparing c WHERE (c.node, c.id, c.step) = (a.node, a.id, a.step))),
books AS (DELETE FROM tillsync.compare_book WHERE n NOT IN (SELECT n FROM open)),
digests AS (DELETE FROM tillsync.compare_digest WHERE n NOT IN (SELECT n FROM open)),
told AS (DELETE FROM tillsync.compare_row WHERE n NOT IN (SELECT n FROM open)),
again AS (DELETE FROM tillsync.again g WHERE g.at < now() - interval '7 days'
             AND EXISTS (SELECT FROM tillsync.again_sent a WHERE a.id = g.id))
DELETE FROM tillsync.compare_side WHERE n NOT IN (SELECT n FROM open)

-- name: results
-- what is known of branches: open comparisons, and what the last ones came to
SELECT n.node, c.id AS open_id, c.at AS open_since, d.tab, d.n, d.tick_at, d.at, d.body
  FROM tillsync.node n
  LEFT JOIN tillsync.comparing c ON c.node = n.node
  LEFT JOIN tillsync.compared d ON d.node = n.node
 WHERE n.state = 'active' AND (%(nodes)s::text[] IS NULL OR n.node = ANY (%(nodes)s))
 ORDER BY n.node, d.tab

-- name: give_up_of
DELETE FROM tillsync.comparing c USING tillsync.compare_ask a
 WHERE (a.node, a.id, a.step) = (c.node, c.id, c.step) AND a.n = %(n)s

-- name: ask_again_of
-- head office's side of a tick could not be made
DELETE FROM tillsync.compare_ask WHERE n = %(n)s

-- name: open_nodes
SELECT node FROM tillsync.comparing WHERE id = %(id)s
