-- Head office of a chain for the performance figures: 100 000 items, of which each of 50 stores sells 4 000, and 200 price
-- lists, one for each store and each of its 4 groups, with 500 prices each.
CREATE TABLE item (
    id          integer PRIMARY KEY,
    code        text NOT NULL UNIQUE,
    name        text NOT NULL,
    unit        text NOT NULL
);
INSERT INTO item SELECT g, 'C' || g, 'item number ' || g, 'pcs' FROM generate_series(1, 100000) g;
CREATE TABLE item_store (
    item_id     integer NOT NULL REFERENCES item,
    store_id    integer NOT NULL,
    PRIMARY KEY (store_id, item_id)
);
INSERT INTO item_store SELECT 1 + (s * 1999 + g * 7) % 100000, s FROM generate_series(1, 50) s, generate_series(1, 4000) g;
CREATE INDEX item_store_item ON item_store (item_id);
CREATE TABLE price (
    store_id    integer NOT NULL,
    price_group text NOT NULL,
    item_id     integer NOT NULL REFERENCES item,
    amount      numeric(12,4) NOT NULL,
    PRIMARY KEY (store_id, price_group, item_id)
);
INSERT INTO price SELECT s, p, 1 + (s * 1999 + g * 7) % 100000, g / 100.0
  FROM generate_series(1, 50) s, unnest(ARRAY['A', 'B', 'C', 'D']) p, generate_series(1, 500) g;
ANALYZE;

-- tills: every store and group gets its share
CREATE FUNCTION bench_tills(tills integer) RETURNS void LANGUAGE sql AS $$
    DELETE FROM tillsync.node;
    INSERT INTO tillsync.node (node, params)
        SELECT 'T' || g, jsonb_build_object('store_id', 1 + g % 50, 'price_group', chr(65 + g / 50 % 4))
          FROM generate_series(1, tills) g;
$$;
