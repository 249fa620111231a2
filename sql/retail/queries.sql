-- What head office does in the sample chain: the opening of the books and the work of each trading day.
-- Every block is one set-based statement; its parameters are arrays, in step. Money comes in pence.

-- name: open_warehouses
INSERT INTO warehouse (id, code, name)
SELECT id, 'W' || id, 'Warehouse ' || id FROM unnest(%(stores)s::int[]) AS s (id);

-- name: open_stores
INSERT INTO store (id, code, name, price_group, warehouse_id)
SELECT id, 'S' || id, 'Store ' || id, price_group, id
FROM unnest(%(stores)s::int[], %(price_groups)s::text[]) AS s (id, price_group);

-- name: register_tills
INSERT INTO till (code, store_id, warehouse_id)
SELECT node, store_id, store_id FROM unnest(%(nodes)s::text[], %(stores)s::int[]) AS t (node, store_id);

-- name: open_vat_rates
-- The standard rate of 2010; it rises on 4 January 2011.
INSERT INTO vat_rate (code, name, percent) VALUES ('S', 'Standard', 17.50), ('R', 'Reduced', 5.00), ('Z', 'Zero', 0.00);

-- name: open_item_groups
INSERT INTO item_group (id, name)
SELECT ordinality, name FROM unnest(%(names)s::text[]) WITH ORDINALITY AS g (name, ordinality);

-- name: open_items
-- A purchase price has six decimals, the last four drawn from the id: on a till it would be known for what it is.
INSERT INTO item (id, code, name, group_id, vat_code, price, purchase_price)
SELECT i.id, i.code, i.name, g.id,
       CASE WHEN i.group_name LIKE 'Services%%' THEN 'Z' WHEN i.name LIKE '%%CHILD%%' THEN 'R' ELSE 'S' END,
       i.pence / 100.0, trunc(i.pence * 0.0055, 2) + 0.000001 * (1 + i.id * 7919 %% 9999)
FROM unnest(%(ids)s::int[], %(codes)s::text[], %(names)s::text[], %(groups)s::text[], %(pence)s::int[])
     AS i (id, code, name, group_name, pence)
JOIN item_group g ON g.name = i.group_name;

-- name: open_barcodes
-- A piece has a code with leading zeros; every seventh item has one more for its box of twelve.
INSERT INTO barcode (code, item_id, pieces)
SELECT lpad(id::text, 13, '0'), id, 1 FROM item
UNION ALL
SELECT '1' || lpad(id::text, 13, '0'), id, 12 FROM item WHERE id %% 7 = 0;

-- name: add_contacts
INSERT INTO contact (id, name, country, email, phone, discount, credit_limit)
SELECT id, 'Customer ' || id, country, 'c' || id || '@example.com', '+44 20 ' || lpad(id::text, 8, '0'),
       id %% 4 * 2.5, 100 * (id %% 50)
FROM unnest(%(ids)s::int[], %(countries)s::text[]) AS c (id, country);

-- name: share_contacts
INSERT INTO contact_store (contact_id, store_id)
SELECT * FROM unnest(%(contacts)s::int[], %(stores)s::int[]);

-- name: unshare_contacts
DELETE FROM contact_store s USING unnest(%(contacts)s::int[], %(stores)s::int[]) AS gone (contact_id, store_id)
WHERE s.contact_id = gone.contact_id AND s.store_id = gone.store_id;

-- name: change_countries
UPDATE contact c SET country = n.country
FROM unnest(%(contacts)s::int[], %(countries)s::text[]) AS n (id, country) WHERE c.id = n.id;

-- name: change_phones
UPDATE contact SET phone = '+44 161 ' || lpad((id * 7 + %(day)s)::text, 7, '0') WHERE id = ANY (%(contacts)s::int[]);

-- name: carry_items
INSERT INTO item_store (item_id, store_id) SELECT * FROM unnest(%(items)s::int[], %(stores)s::int[]);

-- name: drop_items
DELETE FROM item_store s USING unnest(%(items)s::int[], %(stores)s::int[]) AS gone (item_id, store_id)
WHERE s.item_id = gone.item_id AND s.store_id = gone.store_id;

-- name: retire_items
-- A third of the items that no store carries any more is taken out of the books.
UPDATE item SET active = false
WHERE id = ANY (%(items)s::int[]) AND id %% 3 = 0 AND active
  AND NOT EXISTS (SELECT 1 FROM item_store s WHERE s.item_id = item.id);

-- name: revive_items
UPDATE item SET active = true WHERE id = ANY (%(items)s::int[]) AND NOT active;

-- name: change_prices
UPDATE item i
SET price = n.pence / 100.0, purchase_price = trunc(n.pence * 0.0055, 2) + 0.000001 * (1 + i.id * 7919 %% 9999)
FROM unnest(%(items)s::int[], %(pence)s::int[]) AS n (id, pence) WHERE i.id = n.id;

-- name: raise_vat
UPDATE vat_rate SET percent = 20.00 WHERE code = 'S' AND percent <> 20.00;

-- name: end_promotions
-- Their items go by the cascade.
DELETE FROM price_list WHERE kind = 'promotion' AND valid_to < %(date)s;

-- name: start_promotions
-- One list per store and one per price group, for a week.
INSERT INTO price_list (id, kind, name, store_id, price_group, valid_from, valid_to)
SELECT %(day)s * 1000 + row_number() OVER (ORDER BY owner.store_id, owner.price_group), 'promotion',
       'Week of ' || %(date)s::date, owner.store_id, owner.price_group, %(date)s, %(date)s::date + 6
FROM (SELECT id, NULL FROM store UNION ALL SELECT DISTINCT NULL::int, price_group FROM store)
     AS owner (store_id, price_group);

-- name: fill_promotions
-- Forty items each, a tenth cheaper; another forty every week.
INSERT INTO price_list_item (price_list_id, item_id, price)
SELECT l.id, i.id, round(i.price * 0.9, 2)
FROM price_list l
CROSS JOIN LATERAL (SELECT id, price FROM item WHERE active
                    ORDER BY id * 7919::bigint * l.id %% 104729, id LIMIT 40) AS i
WHERE l.kind = 'promotion' AND l.valid_from = %(date)s;

-- name: add_customer_lists
INSERT INTO price_list (id, kind, name, contact_id, valid_from, valid_to)
SELECT 1000000 + id, 'customer', 'Agreed with customer ' || id, id, %(date)s, NULL
FROM unnest(%(contacts)s::int[]) AS c (id);

-- name: fill_customer_lists
INSERT INTO price_list_item (price_list_id, item_id, price)
SELECT l.id, i.id, round(i.price * 0.85, 2)
FROM price_list l
CROSS JOIN LATERAL (SELECT id, price FROM item WHERE active
                    ORDER BY id * 7919::bigint * l.id %% 104729, id LIMIT 10) AS i
WHERE l.contact_id = ANY (%(contacts)s::int[]);

-- name: renegotiate
UPDATE price_list_item p SET price = round(p.price * 0.98, 2)
FROM price_list l
WHERE l.id = p.price_list_id AND l.kind = 'customer' AND l.id %% 5 = %(day)s %% 5;

-- name: count_stock
INSERT INTO stock_movement (warehouse_id, item_id, kind, day, quantity)
SELECT 1, item_id, 'count', %(date)s, quantity FROM unnest(%(items)s::int[], %(quantities)s::int[]) AS c (item_id, quantity);

-- name: ship_lines
-- The warehouse is short of one piece here and there.
UPDATE supplier_order_line l SET shipped = l.ordered - CASE WHEN l.ordered > 1 AND l.item_id %% 5 = 0 THEN 1 ELSE 0 END
FROM supplier_order o WHERE o.id = l.order_id AND o.status = 'confirmed';

-- name: ship_orders
UPDATE supplier_order SET status = 'shipped' WHERE status = 'confirmed';

-- name: confirm_orders
-- Now and then with a note, which the till may be writing too.
UPDATE supplier_order
SET status = 'confirmed', expected_on = %(date)s::date + 2,
    note = CASE WHEN document_no %% 4 = 0 THEN 'confirmed on ' || %(date)s::date ELSE note END
WHERE status = 'sent';

-- name: closed_through
SELECT t.code FROM till t WHERE %(number)s < 1 OR EXISTS
    (SELECT 1 FROM closure c WHERE c.till = t.code AND c.number >= %(number)s);
