-- Conflicts, as a person sees and settles them.

-- name: listed
SELECT c.id, c.at, c.node, c.tab, c.key, c.columns, c.policy, c.winner, c.state, c.note FROM tillsync.conflict c
 WHERE (%(node)s::text IS NULL OR c.node = %(node)s) AND (%(tab)s::text IS NULL OR c.tab = %(tab)s)
   AND (NOT %(open)s OR c.state = 'open')
 ORDER BY c.id DESC LIMIT %(rows_max)s

-- name: one
SELECT c.id, c.at, c.node, c.uid, c.seq, c.nonce, c.tab, c.key, c.columns, c.policy, c.winner, c.state, c.note,
       c.base, c.theirs, c.ours, c.outcome,
       (SELECT min(i.n) FROM tillsync.intent i WHERE pg_visible_in_snapshot(c.xid, i.snapshot)) AS tick
  FROM tillsync.conflict c WHERE c.id = %(id)s

-- name: settled
UPDATE tillsync.conflict SET state = %(state)s WHERE id = ANY (%(ids)s) AND (state = 'open' OR %(state)s = 'restored') RETURNING id

-- name: now
-- the row as it is, as text
SELECT ARRAY[{texts}]::text[] FROM {target} t WHERE {match} FOR NO KEY UPDATE

-- name: put_back
UPDATE {target} t SET {assignments} WHERE {match}

-- name: make_again
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})

-- name: cut_again
DELETE FROM {target} t WHERE {match}
