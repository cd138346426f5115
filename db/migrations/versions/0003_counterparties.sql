-- Counterparties are kept by those who may edit; one that an entry names stays.
ALTER TABLE counterparties ADD CHECK (type IN ('broker', 'custodian', 'issuer', 'bank', 'exchange', 'other')),
  ADD CHECK (length(trim(name)) BETWEEN 1 AND 120), ADD CHECK (length(rating) BETWEEN 1 AND 20);
CREATE UNIQUE INDEX counterparties_name ON counterparties (lower(name));

-- A counterparty is added (without a number), or changed where it still is as the person saw it: null where it is not.
CREATE FUNCTION save_counterparty(id integer, its jsonb, seen jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  number integer;
BEGIN
  IF NOT may('edit') THEN
    RAISE EXCEPTION 'your role may not change counterparties' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF id IS NULL THEN
    INSERT INTO counterparties (name, type, rating, country, status)
    SELECT x.name, x.type, x.rating, x.country, x.status FROM jsonb_populate_record(NULL::counterparties, its) x RETURNING counterparty_id INTO number;
  ELSE
    UPDATE counterparties t SET name = x.name, type = x.type, rating = x.rating, country = x.country, status = x.status
      FROM jsonb_populate_record(NULL::counterparties, its) x, jsonb_populate_record(NULL::counterparties, seen) o
     WHERE t.counterparty_id = id AND (t.name, t.type, t.rating, t.country, t.status) IS NOT DISTINCT FROM (o.name, o.type, o.rating, o.country, o.status)
    RETURNING t.counterparty_id INTO number;
  END IF;
  RETURN number;
END $$;
-- 'removed', 'used' where an entry of any portfolio names it, 'absent'
CREATE FUNCTION remove_counterparty(id integer) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT may('edit') THEN
    RAISE EXCEPTION 'your role may not change counterparties' USING ERRCODE = 'insufficient_privilege';
  ELSIF EXISTS (SELECT FROM transactions WHERE counterparty_id = id) THEN
    RETURN 'used';
  END IF;
  DELETE FROM counterparties WHERE counterparty_id = id;
  RETURN CASE WHEN FOUND THEN 'removed' ELSE 'absent' END;
END $$;
CREATE INDEX transactions_through ON transactions (counterparty_id) WHERE counterparty_id IS NOT NULL;

REVOKE ALL ON FUNCTION save_counterparty(integer, jsonb, jsonb), remove_counterparty(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION save_counterparty(integer, jsonb, jsonb), remove_counterparty(integer) TO ballast_web;
