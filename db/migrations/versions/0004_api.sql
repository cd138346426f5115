-- Requests that carried an Idempotency-Key: what was asked under it, and what was answered. Kept for a day (db.request_keys).
CREATE TABLE request_keys (
  user_id    uuid NOT NULL REFERENCES users,
  key        text NOT NULL,
  request    bytea NOT NULL,                                       -- sha256 of method, path, query and body
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),       -- somebody works on it since, or answered it then
  status     smallint,                                             -- of the answer; null: there is none yet
  headers    jsonb NOT NULL DEFAULT '{}',                          -- of the answer: Content-Type, Location
  answer     bytea,                                                -- null: it is not kept, being large or secret
  PRIMARY KEY (user_id, key)
);
CREATE INDEX request_keys_old ON request_keys (claimed_at);
ALTER TABLE request_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE request_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON request_keys TO ballast_owner USING (true) WITH CHECK (true);
CREATE POLICY web_own ON request_keys TO ballast_web USING (user_id = app_user()) WITH CHECK (user_id = app_user());
GRANT SELECT, INSERT, UPDATE, DELETE ON request_keys TO ballast_web;
-- Everybody's that are older than a day; those that somebody is just about to forget are left to them.
CREATE FUNCTION forget_request_keys() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  DELETE FROM request_keys k USING (SELECT user_id, key FROM request_keys WHERE claimed_at < now() - interval '1 day' FOR UPDATE SKIP LOCKED) old
   WHERE (k.user_id, k.key) = (old.user_id, old.key) $$;
REVOKE ALL ON FUNCTION forget_request_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_request_keys() TO ballast_web;

-- ── the taxonomy: admins add sectors, industries and subsectors (core.sectors says what they may be called) ──
CREATE FUNCTION add_sector(its_sector text, its_industry text, its_subsector text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id integer;
BEGIN
  IF NOT administers() THEN
    RAISE EXCEPTION 'only admins add sectors' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO sectors (sector, industry, subsector) VALUES (its_sector, its_industry, its_subsector) RETURNING sector_id INTO id;
  UPDATE data_versions SET version = version + 1, updated_at = clock_timestamp() WHERE name = 'securities';
  RETURN id;
END $$;
REVOKE ALL ON FUNCTION add_sector(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_sector(text, text, text) TO ballast_web;
