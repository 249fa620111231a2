-- relay.purge(before_n, snapshots_before, uploads_before, rows_max): removes ticks below a number with all that belongs to
-- them, snapshots that a newer one replaced before a time, and uploads that central took before a time, or that were never
-- whole. The newest upload of a branch and its newest ack stay, whatever their age: they say where it stands. Returns how
-- many rows went, at most about rows_max of each kind; 0 when there is nothing left to remove.
CREATE OR REPLACE FUNCTION relay.purge(before_n bigint, snapshots_before timestamptz, uploads_before timestamptz, rows_max integer)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    gone  bigint := 0;
    found bigint;
BEGIN
    PERFORM relay.caller('central');
    -- ticks go first, the oldest before the others: while one is there, all of it and of those after it is
    DELETE FROM relay.tick t WHERE t.n IN (SELECT x.n FROM relay.tick x WHERE x.n < before_n ORDER BY x.n LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    before_n := least(before_n, (SELECT min(t.n) FROM relay.tick t));
    DELETE FROM relay.subscription s WHERE s.until < before_n;
    DELETE FROM relay.payload p WHERE (p.stream, p.n, p.kind, p.part) IN (
        SELECT x.stream, x.n, x.kind, x.part FROM relay.payload x WHERE x.n < before_n ORDER BY x.n LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    DELETE FROM relay.echo e WHERE (e.node, e.n, e.part) IN (
        SELECT x.node, x.n, x.part FROM relay.echo x WHERE x.n < before_n ORDER BY x.n LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    DELETE FROM relay.ack a WHERE (a.node, a.n) IN (
        SELECT x.node, x.n FROM relay.ack x
         WHERE x.n < before_n AND EXISTS (SELECT FROM relay.ack y WHERE y.node = x.node AND y.n > x.n AND y.n <= before_n)
         LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    DELETE FROM relay.payload p WHERE (p.stream, p.n, p.kind, p.part) IN (
        SELECT x.stream, x.n, x.kind, x.part FROM relay.payload x JOIN relay.tick t ON t.n = x.n
         WHERE x.kind = 'snapshot' AND t.at < snapshots_before
           AND EXISTS (SELECT FROM relay.payload y WHERE y.stream = x.stream AND y.kind = 'snapshot' AND y.n > x.n)
         LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    DELETE FROM relay.upload u WHERE (u.node, u.id) IN (
        SELECT x.node, x.id FROM relay.upload x
         WHERE x.taken_at < uploads_before
           AND x.uid <> (SELECT y.uid FROM relay.upload y WHERE y.node = x.node AND y.last ORDER BY y.id DESC LIMIT 1)
         LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    gone := gone + found;
    -- parts of a group of which the rest never came: the till has sent all of it again, under another number
    DELETE FROM relay.upload u WHERE (u.node, u.id) IN (
        SELECT x.node, x.id FROM relay.upload x
         WHERE x.taken_at IS NULL AND x.at < uploads_before
           AND NOT EXISTS (SELECT FROM relay.upload y WHERE y.node = x.node AND y.uid = x.uid AND y.last)
         LIMIT rows_max);
    GET DIAGNOSTICS found = ROW_COUNT;
    RETURN gone + found;
END $$;
