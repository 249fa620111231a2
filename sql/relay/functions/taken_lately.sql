-- relay.taken_lately(): the groups that central has merged since it published the newest tick, or shortly before. It may have
-- lost that since: a standby that took over lacks what was merged last, and no tick tells of it.
CREATE OR REPLACE FUNCTION relay.taken_lately() RETURNS TABLE (node text, uid bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM relay.caller('central');
    RETURN QUERY
    SELECT DISTINCT u.node, u.uid FROM relay.upload u
     WHERE u.taken_at >= coalesce((SELECT t.at FROM relay.tick t ORDER BY t.n DESC LIMIT 1) - interval '10 minutes', '-infinity');
END $$;
