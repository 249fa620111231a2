-- relay.hello(): what a branch needs to know at the start of a round, and what time it is here. Reads state, plan, tick, subscription, upload.
CREATE OR REPLACE FUNCTION relay.hello() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := relay.caller('branch');
BEGIN
    RETURN jsonb_build_object(
        'node', me,
        'now', extract(epoch FROM clock_timestamp())::double precision,
        'epoch', (SELECT s.epoch FROM relay.state s),
        'plan_version', coalesce((SELECT max(p.version) FROM relay.plan p), 0),
        'plan_digest', (SELECT p.digest FROM relay.plan p ORDER BY p.version DESC LIMIT 1),
        'top', (SELECT jsonb_build_array(t.n, t.token) FROM relay.tick t ORDER BY t.n DESC LIMIT 1),
        'machine', (SELECT m.identity FROM relay.machine m WHERE m.node = me),
        'reloads', coalesce((SELECT jsonb_agg(jsonb_build_array(s.stream, greatest(s.reload, s.since)) ORDER BY s.stream)
                               FROM relay.subscription s
                              WHERE s.node = me AND s.until IS NULL AND greatest(s.reload, s.since) > 0), '[]'),
        'moves', coalesce((SELECT jsonb_agg(jsonb_build_array(s.stream, s.channel, s.until + 1) ORDER BY s.stream)
                             FROM relay.subscription s WHERE s.node = me AND s.until IS NOT NULL), '[]'),
        'streams', coalesce((SELECT jsonb_agg(jsonb_build_array(s.stream, s.channel) ORDER BY s.stream)
                               FROM relay.subscription s WHERE s.node = me AND s.until IS NULL), '[]'),
        'begun', coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_array(u.end_seq, u.end_nonce)) FROM relay.upload u
                            WHERE u.node = me AND u.id > coalesce((SELECT w.id FROM relay.upload w WHERE w.node = me AND w.last
                                                                    ORDER BY w.id DESC LIMIT 1), 0)), '[]'),
        'uploaded', (SELECT jsonb_build_array(u.end_seq, u.end_nonce) FROM relay.upload u
                      WHERE u.node = me AND u.last ORDER BY u.id DESC LIMIT 1));
END $$;
