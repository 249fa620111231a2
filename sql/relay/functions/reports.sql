-- relay.reports(): the newest status report of every node, with the state of its uploads.
CREATE OR REPLACE FUNCTION relay.reports() RETURNS TABLE (node text, at timestamptz, body jsonb, waiting_uploads bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM relay.caller('central');
    RETURN QUERY
        SELECT a.node, r.at, r.body || (SELECT jsonb_build_object('other_machine_at', m.other_at) FROM relay.machine m
                                         WHERE m.node = a.node AND m.other_at IS NOT NULL
                                        UNION ALL SELECT '{}' LIMIT 1),
               (SELECT count(*) FROM relay.upload u WHERE u.node = a.node AND u.taken_at IS NULL AND u.last)
          FROM (SELECT DISTINCT x.node FROM relay.account x WHERE x.kind = 'branch') a
          LEFT JOIN relay.report r ON r.node = a.node
         ORDER BY a.node;
END $$;
