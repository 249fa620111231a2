-- What the performance figures ask.

-- name: relay_bytes
-- bytes at the relay after a tick, and the most that one till gets of them
WITH p AS (SELECT stream, sum(octet_length(frame)) AS bytes FROM relay.payload WHERE n > %(n)s GROUP BY stream),
e AS (SELECT node, sum(octet_length(frame)) AS bytes FROM relay.echo WHERE n > %(n)s GROUP BY node),
own AS (SELECT s.node, coalesce(sum(p.bytes), 0) + coalesce(max(e.bytes), 0) AS bytes
          FROM relay.subscription s LEFT JOIN p USING (stream) LEFT JOIN e USING (node) WHERE s.since <= %(n)s GROUP BY s.node)
SELECT (SELECT coalesce(sum(bytes), 0) FROM p) + (SELECT coalesce(sum(bytes), 0) FROM e), max(bytes) FROM own
