-- the tables of the plan ({tables}) are as they should be: remember how they look now
DELETE FROM tillsync.seen WHERE NOT tab = ANY ({tables}::text[]);
INSERT INTO tillsync.seen (tab) SELECT unnest({tables}::text[]) ON CONFLICT DO NOTHING;
UPDATE tillsync.seen s
   SET columns = w.columns, shape = w.shape, guard = w.guard, (made, heap) = (SELECT m.made, m.heap FROM tillsync.made m WHERE m.tab = s.tab)
  FROM tillsync.watched w
 WHERE w.tab = s.tab AND (s.shape, s.guard, s.made IS NULL) IS DISTINCT FROM (w.shape, w.guard, w.gone);
