-- relay.pull(after, snapshot_streams, ticks_max, bytes_max, inline_bytes): the ticks after a number, in order, with what
-- concerns the branch: deltas of its streams, snapshots of those it names, its echoes. A tick with nothing for it is one
-- row with a null kind. At least one tick, else as many as fit the limits. A tick of more than inline_bytes is the last of
-- an answer, and its parts are only listed (a null frame): relay.parts gives them one by one.
-- The ack is central's applied position as of the tick.
CREATE OR REPLACE FUNCTION relay.pull(after bigint, snapshot_streams integer[], ticks_max integer, bytes_max bigint, inline_bytes bigint)
RETURNS TABLE (n bigint, epoch bigint, token bigint, plan_version integer, ack_seq bigint, ack_nonce bigint, gap boolean,
               stream integer, kind text, part integer, frame bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    me text := relay.caller('branch');
BEGIN
    RETURN QUERY
    WITH ticks AS MATERIALIZED (
        SELECT t.n, t.epoch, t.token, t.plan_version FROM relay.tick t
         WHERE t.n > pull.after ORDER BY t.n LIMIT pull.ticks_max),
    sizes AS (
        SELECT t.n, coalesce(p.bytes, 0) + coalesce(e.bytes, 0) AS bytes
          FROM ticks t
          LEFT JOIN LATERAL (SELECT sum(octet_length(x.frame)) AS bytes
                               FROM relay.subscription s JOIN relay.payload x ON x.stream = s.stream
                              WHERE s.node = me AND x.n = t.n AND x.n > s.since AND x.n <= coalesce(s.until, x.n)
                                AND (x.kind = 'delta' OR x.stream = ANY (pull.snapshot_streams))) p ON true
          LEFT JOIN LATERAL (SELECT sum(octet_length(x.frame)) AS bytes FROM relay.echo x
                              WHERE x.node = me AND x.n = t.n) e ON true),
    fitting AS (
        SELECT s.n, s.bytes > pull.inline_bytes AS is_large
          FROM (SELECT s.n, s.bytes, sum(s.bytes) OVER (ORDER BY s.n) - s.bytes AS before,
                       count(*) FILTER (WHERE s.bytes > pull.inline_bytes) OVER (ORDER BY s.n) AS large FROM sizes s) s
         WHERE (s.before = 0 OR s.before < pull.bytes_max)
           AND s.large <= CASE WHEN s.bytes > pull.inline_bytes THEN 1 ELSE 0 END)
    SELECT t.n, t.epoch, t.token, t.plan_version, coalesce(a.seq, 0), coalesce(a.nonce, 0), coalesce(a.gap AND a.n = t.n, false),
           p.stream, p.kind, p.part, CASE WHEN NOT f.is_large THEN p.frame END
      FROM ticks t
      JOIN fitting f USING (n)
      LEFT JOIN LATERAL (SELECT x.* FROM relay.ack x WHERE x.node = me AND x.n <= t.n ORDER BY x.n DESC LIMIT 1) a ON true
      LEFT JOIN LATERAL (
            SELECT d.stream, d.kind, d.part, d.frame
              FROM relay.subscription s JOIN relay.payload d ON d.stream = s.stream
             WHERE s.node = me AND d.n = t.n AND d.n > s.since AND d.n <= coalesce(s.until, d.n)
               AND (d.kind = 'delta' OR d.stream = ANY (pull.snapshot_streams))
            UNION ALL
            SELECT 0, 'echo', e.part, e.frame FROM relay.echo e WHERE e.node = me AND e.n = t.n) p ON true
     ORDER BY t.n, p.kind, p.stream, p.part;
END $$;
