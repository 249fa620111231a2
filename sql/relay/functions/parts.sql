-- relay.parts(n, stream, kind, first, bytes_max): parts of a large tick from number `first` on, as pull lists them: at least
-- one, else as many as fit the limit. None where the relay does not have them any more.
CREATE OR REPLACE FUNCTION relay.parts(n bigint, stream integer, kind text, first integer, bytes_max bigint)
RETURNS TABLE (part integer, frame bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    me text := relay.caller('branch');
BEGIN
    RETURN QUERY
    SELECT f.part, f.frame
      FROM (SELECT p.part, p.frame, sum(octet_length(p.frame)) OVER (ORDER BY p.part) - octet_length(p.frame) AS before
              FROM (SELECT x.part, x.frame FROM relay.payload x
                     WHERE x.stream = parts.stream AND x.n = parts.n AND x.kind = parts.kind AND x.part >= parts.first
                       AND EXISTS (SELECT FROM relay.subscription s WHERE s.node = me AND s.stream = x.stream
                                     AND x.n > s.since AND x.n <= coalesce(s.until, x.n))
                    UNION ALL
                    SELECT e.part, e.frame FROM relay.echo e
                     WHERE parts.kind = 'echo' AND e.node = me AND e.n = parts.n AND e.part >= parts.first) p) f
     WHERE f.before = 0 OR f.before < parts.bytes_max
     ORDER BY f.part;
END $$;
