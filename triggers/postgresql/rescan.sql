-- What changed while {tab} was not captured as it should be nobody saw: all of it has to be looked at, as after a truncation.
-- {tab}  the table's name as a text; {log} its log
INSERT INTO tillsync.{log} (origin)
SELECT NULL FROM tillsync.watched w JOIN tillsync.seen s USING (tab) WHERE w.tab = {tab} AND s.guard <> w.guard;
