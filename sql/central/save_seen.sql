-- the tables of the plan ({tables}) are as they should be: remember how they look now. {looked}: by name, those to remember
-- where `ddl` and `guard` are what it says, if it says that; null for all of them as they are
DELETE FROM tillsync.seen WHERE NOT tab = ANY ({tables}::text[]);
INSERT INTO tillsync.seen (tab) SELECT unnest({tables}::text[]) ON CONFLICT DO NOTHING;
UPDATE tillsync.seen s
   SET columns = w.columns, shape = w.shape, guard = w.guard,
       (made, heap, parts) = (SELECT m.made, m.heap, m.parts FROM tillsync.made m WHERE m.tab = s.tab)
  FROM tillsync.watched w
 WHERE w.tab = s.tab AND (s.shape, s.guard, s.made IS NULL) IS DISTINCT FROM (w.shape, w.guard, w.gone)
   AND ({looked}::jsonb IS NULL
        OR {looked}::jsonb ? s.tab
           AND coalesce({looked}::jsonb -> s.tab ->> 'guard', w.guard) = w.guard
           AND (NOT {looked}::jsonb -> s.tab ? 'ddl'
                OR (SELECT m.ddl FROM tillsync.made m WHERE m.tab = s.tab) IS NOT DISTINCT FROM {looked}::jsonb -> s.tab ->> 'ddl'));
