-- What must hold at the end of the demo, asked in words of the sample chain alone: joins over its own tables, never the
-- filters of the plan. `office_` blocks run at central (%(store_id)s, %(price_group)s), `till_` blocks in a till's file.
-- Columns of a pair stand in the same order, the key first. Values are rendered as a till has to store them.

-- name: office_vat_rate
SELECT code, name, percent::text FROM vat_rate;

-- name: till_vat_rate
SELECT code, name, percent FROM vat_rate;

-- name: office_item_group
SELECT DISTINCT g.id, g.name
FROM item_store s JOIN item i ON i.id = s.item_id JOIN item_group g ON g.id = i.group_id
WHERE s.store_id = %(store_id)s AND i.active;

-- name: till_item_group
SELECT id, name FROM item_group;

-- name: office_item
SELECT i.id, i.code, i.name, i.group_id, i.vat_code, i.unit, i.price::text, i.active::int
FROM item_store s JOIN item i ON i.id = s.item_id
WHERE s.store_id = %(store_id)s AND i.active;

-- name: till_item
SELECT id, code, title, group_id, vat_code, unit, price, active FROM item;

-- name: office_barcode
SELECT b.code, b.item_id, b.pieces
FROM item_store s JOIN item i ON i.id = s.item_id JOIN barcode b ON b.item_id = i.id
WHERE s.store_id = %(store_id)s AND i.active;

-- name: till_barcode
SELECT ean, item_id, pieces FROM barcode;

-- name: office_contact
SELECT c.id, c.name, c.country, c.email, c.phone, c.discount::text, c.blocked::int
FROM contact_store s JOIN contact c ON c.id = s.contact_id
WHERE s.store_id = %(store_id)s;

-- name: till_contact
SELECT id, full_name, country, email, phone, discount, blocked FROM customer;

-- name: office_price_list
SELECT l.id, l.kind, l.name, l.contact_id, l.valid_from::text, l.valid_to::text
FROM price_list l LEFT JOIN contact_store s ON s.contact_id = l.contact_id AND s.store_id = %(store_id)s
WHERE %(store_id)s IN (l.store_id, s.store_id) OR l.price_group = %(price_group)s;

-- name: till_price_list
SELECT id, kind, name, customer_id, valid_from, valid_to FROM price_list;

-- name: office_price_list_item
SELECT p.price_list_id, p.item_id, p.price::text
FROM price_list_item p JOIN price_list l ON l.id = p.price_list_id
LEFT JOIN contact_store s ON s.contact_id = l.contact_id AND s.store_id = %(store_id)s
WHERE %(store_id)s IN (l.store_id, s.store_id) OR l.price_group = %(price_group)s;

-- name: till_price_list_item
SELECT price_list_id, item_id, price FROM price_list_item;

-- name: office_supplier_order
SELECT id, store_id, supplier, status, note,
       to_char(ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'), expected_on::text, document_no
FROM supplier_order WHERE store_id = %(store_id)s;

-- name: till_supplier_order
SELECT id, store_id, supplier, status, note, ordered_at, expected_on, document_no FROM supplier_order;

-- name: office_supplier_order_line
SELECT l.order_id, l.line_no, l.item_id, l.ordered, l.shipped, l.received
FROM supplier_order o JOIN supplier_order_line l ON l.order_id = o.id
WHERE o.store_id = %(store_id)s;

-- name: till_supplier_order_line
SELECT order_id, line_no, item_id, ordered, shipped, received FROM supplier_order_line;

-- name: office_turnover
-- Whole thousandths and pence, so that sums are exact at both ends.
SELECT c.day::text, l.item_id, l.contact_id, sum(l.quantity * 1000)::bigint, sum(l.amount * 100)::bigint
FROM closure c JOIN closure_line l ON l.till = c.till AND l.number = c.number
WHERE c.till = %(node)s
GROUP BY c.day, l.item_id, l.contact_id;

-- name: till_turnover
SELECT c.day, l.item_id, l.customer_id,
       sum(CAST(round(l.quantity * 1000) AS INTEGER)), sum(CAST(round(l.amount * 100) AS INTEGER))
FROM closure c JOIN closure_line l ON l.number = c.number
GROUP BY c.day, l.item_id, l.customer_id;

-- name: till_receipts
SELECT c.day, l.item_id, r.customer_id,
       sum(l.quantity) * 1000, sum(CAST(round(l.amount * 100) AS INTEGER))
FROM receipt r JOIN receipt_line l ON l.receipt_id = r.id LEFT JOIN closure c ON c.number = r.closure_number
GROUP BY c.day, l.item_id, r.customer_id;

-- name: office_closures
SELECT number, day::text, receipts, (amount * 100)::bigint FROM closure WHERE till = %(node)s ORDER BY number;

-- name: till_closures
SELECT number, day, receipts, CAST(round(amount * 100) AS INTEGER) FROM closure ORDER BY number;

-- name: till_receipt_totals
SELECT c.number, c.day, count(r.id), coalesce(sum(CAST(round(r.amount * 100) AS INTEGER)), 0)
FROM closure c LEFT JOIN receipt r ON r.closure_number = c.number
GROUP BY c.number ORDER BY c.number;

-- name: till_lines_sold
SELECT count(*), coalesce(sum(l.quantity), 0), coalesce(sum(CAST(round(l.amount * 100) AS INTEGER)), 0)
FROM receipt_line l;

-- name: office_movements_wrong
-- A closure line with no movement, another quantity, item, day or warehouse; a movement with no closure line.
SELECT coalesce(l.till, m.till) || '/' || coalesce(l.number, m.number) || '/' || coalesce(l.line_no, m.line_no),
       l.item_id, l.quantity, m.item_id, m.quantity, m.warehouse_id
FROM (SELECT l.*, c.day, t.warehouse_id
      FROM closure_line l JOIN closure c ON c.till = l.till AND c.number = l.number JOIN till t ON t.code = l.till) AS l
FULL JOIN (SELECT * FROM stock_movement WHERE kind = 'sale') AS m
       ON m.till = l.till AND m.number = l.number AND m.line_no = l.line_no
WHERE (m.item_id, m.quantity, m.day, m.warehouse_id) IS DISTINCT FROM (l.item_id, -l.quantity, l.day, l.warehouse_id);

-- name: office_stock_wrong
SELECT coalesce(s.warehouse_id, m.warehouse_id), coalesce(s.item_id, m.item_id), s.quantity, m.quantity
FROM stock s
FULL JOIN (SELECT warehouse_id, item_id, sum(quantity) AS quantity FROM stock_movement GROUP BY 1, 2) AS m
       ON m.warehouse_id = s.warehouse_id AND m.item_id = s.item_id
WHERE s.quantity IS DISTINCT FROM m.quantity;

-- name: office_movement_count
SELECT count(*) FROM stock_movement WHERE kind = 'sale';

-- name: office_purchase_prices
SELECT DISTINCT purchase_price::text FROM item;

-- name: office_contacts_of_others
-- What a till of this store must not know: contacts that are not shared with it, and their lists.
SELECT 'contact ' || c.id, c.id, 'customer' FROM contact c
WHERE c.id NOT IN (SELECT contact_id FROM contact_store WHERE store_id = %(store_id)s)
UNION ALL
SELECT 'price list ' || l.id, l.id, 'price_list' FROM price_list l
WHERE l.contact_id NOT IN (SELECT contact_id FROM contact_store WHERE store_id = %(store_id)s);

-- name: office_order_states
SELECT id, status FROM supplier_order WHERE store_id = %(store_id)s;

-- name: till_order_states
SELECT id, status FROM supplier_order;

-- name: till_search_index
-- Fails if the vendor's full-text index does not say what the items say.
INSERT INTO item_search (item_search, rank) VALUES ('integrity-check', 1);

-- name: till_summary
-- What the closing table of the demo says of a till; amounts in pence.
SELECT (SELECT count(*) FROM closure),
       (SELECT count(*) FROM closure_line),
       (SELECT coalesce(sum(CAST(round(amount * 100) AS INTEGER)), 0) FROM closure_line WHERE customer_id IS NULL),
       (SELECT coalesce(sum(CAST(round(amount * 100) AS INTEGER)), 0) FROM closure_line WHERE customer_id IS NOT NULL);

-- name: till_orders_by_state
SELECT status, count(*) FROM supplier_order WHERE id LIKE :mine GROUP BY status;

-- name: till_own_order_lines
SELECT count(*) FROM supplier_order_line WHERE order_id LIKE :mine;
