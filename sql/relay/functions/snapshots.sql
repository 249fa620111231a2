-- relay.snapshots(): for each stream of the branch, the newest tick of the current epoch that carries its snapshot.
CREATE OR REPLACE FUNCTION relay.snapshots() RETURNS TABLE (stream integer, n bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    me text := relay.caller('branch');
BEGIN
    RETURN QUERY
        SELECT s.stream, max(p.n)
          FROM relay.subscription s
          JOIN relay.payload p ON p.stream = s.stream AND p.kind = 'snapshot' AND p.n > s.since
          JOIN relay.tick t ON t.n = p.n AND t.epoch = (SELECT x.epoch FROM relay.state x)
         WHERE s.node = me AND s.until IS NULL
         GROUP BY s.stream;
END $$;
