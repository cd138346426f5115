-- The audit trail: what people and programs change, who, when, from where, before and after (docs/decisions/0013).
-- A table joins with SELECT audited('its_name', 'a column whose change alone is not worth a row', …); where feeds write and only
-- what a person typed is wanted: SELECT audited_by_people('its_name'). Calling either again replaces what was set.
--
-- A statement leaves its rows in audit_pending; the commit moves them into their chains, in the order of their names, and holds
-- the heads for that moment alone: a long transaction keeps nobody waiting, and two cannot wait for each other.
SELECT set_config('app.source', 'migration', true);

CREATE TABLE audit_log (
  chain      text NOT NULL,                                        -- master, people, portfolio:<its id>
  seq        bigint NOT NULL CHECK (seq > 0),                      -- 1, 2, 3 … without a gap
  at         timestamptz NOT NULL,                                 -- one for all that a transaction changed: when it became so
  actor      uuid,                                                 -- who; null: a program, actor_name then says as whom it signed in
  actor_name text NOT NULL,
  action     text NOT NULL CHECK (action IN ('inserted', 'updated', 'deleted', 'booked', 'truncated')),
  entity     text NOT NULL,                                        -- the table
  entity_key text NOT NULL,                                        -- its key columns, joined by /
  before     jsonb,                                                -- whole where deleted; the key and what changed where updated
  after      jsonb,
  source     text NOT NULL,                                        -- page, api, csv, job, command, migration; database: none of them
  address    text,
  request_id text,
  task_id    uuid,
  previous   bytea NOT NULL,                                       -- the hash of the row before; 32 zero bytes before the first
  hash       bytea NOT NULL,                                       -- sha256(previous || sha256(audit_canonical(the row)))
  PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_log_newest ON audit_log (at DESC, chain DESC, seq DESC);
CREATE INDEX audit_log_who ON audit_log (actor_name, at DESC, chain DESC, seq DESC);
CREATE INDEX audit_log_task ON audit_log (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX audit_log_thing ON audit_log (entity, entity_key);
CREATE INDEX audit_log_security ON audit_log ((coalesce(after, before) ->> 'security_id')) WHERE chain = 'master';
CREATE TABLE audit_heads (chain text PRIMARY KEY, seq bigint NOT NULL, hash bytea NOT NULL);
CREATE UNLOGGED TABLE audit_pending (                              -- empty whenever nothing is under way
  xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
  place  bigint GENERATED ALWAYS AS IDENTITY,
  opens  boolean NOT NULL,                                         -- the first of its statement
  chain text NOT NULL, actor uuid, actor_name text NOT NULL, action text NOT NULL, entity text NOT NULL, entity_key text NOT NULL,
  before jsonb, after jsonb, source text NOT NULL, address text, request_id text, task_id uuid
);
CREATE INDEX audit_pending_mine ON audit_pending (xid, chain, place);

-- ── append-only, for the owner too ──────────────────────────────────────────────────────────────────────
CREATE FUNCTION refuse_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- the trail writes itself, from within triggers
  IF pg_trigger_depth() > 1 AND (TG_OP = 'INSERT' OR TG_TABLE_NAME || TG_OP IN ('audit_headsUPDATE', 'audit_pendingDELETE')) THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% is append-only, and written by the changes themselves', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit();
CREATE TRIGGER append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_heads FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit();

-- ── the hash ────────────────────────────────────────────────────────────────────────────────────────────
-- What is hashed, field by field as "length in octets:text,", a missing one as "-,". core.audit.canonical says the same in Python.
CREATE FUNCTION netstring(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT coalesce(octet_length(said) || ':' || said || ',', '-,') $$;
CREATE FUNCTION audit_canonical(a audit_log) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT netstring(a.chain) || netstring(a.seq::text) || netstring(to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
      || netstring(a.actor::text) || netstring(a.actor_name) || netstring(a.action) || netstring(a.entity) || netstring(a.entity_key)
      || netstring(a.before::text) || netstring(a.after::text) || netstring(a.source) || netstring(a.address) || netstring(a.request_id)
      || netstring(a.task_id::text) $$;

CREATE FUNCTION audit_link(link bytea, head bytea, digest bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT sha256(coalesce(link, head) || digest) $$;
CREATE AGGREGATE audit_linked(head bytea, digest bytea) (SFUNC = audit_link, STYPE = bytea);
-- One statement for all rows: row by row, the commit of 5,000 securities took half of the time of their task.
CREATE FUNCTION audit_seal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  mine constant xid8 := pg_current_xact_id();
  moment timestamptz;
  named text;
  begins boolean;
BEGIN
  -- A chain that begins is named in 'people', so that it cannot go as a whole; not by whom: who may read a portfolio is told that by its own chain.
  INSERT INTO audit_pending (opens, chain, actor_name, action, entity, entity_key, after, source)
  SELECT false, 'people', session_user, 'inserted', 'audit_chains', p.chain, jsonb_build_object('chain', p.chain), min(p.source) FROM audit_pending p
   WHERE p.xid = mine AND p.chain <> 'people' AND NOT EXISTS (SELECT FROM audit_heads h WHERE h.chain = p.chain) GROUP BY p.chain ORDER BY p.chain;
  begins := FOUND;
  FOR named IN SELECT DISTINCT p.chain FROM audit_pending p WHERE p.xid = mine ORDER BY 1 LOOP
    INSERT INTO audit_heads VALUES (named, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
    PERFORM FROM audit_heads h WHERE h.chain = named FOR UPDATE;
  END LOOP;
  IF begins THEN                                                   -- unless somebody else began it while the locks were waited for
    DELETE FROM audit_pending p USING audit_heads h WHERE p.xid = mine AND p.entity = 'audit_chains' AND h.chain = p.entity_key AND h.seq > 0;
  END IF;
  moment := clock_timestamp();                                     -- after the locks: within a chain no time is before another
  WITH told AS (
    SELECT ROW(p.chain, h.seq + row_number() OVER (PARTITION BY p.chain ORDER BY p.place), moment, p.actor, p.actor_name, p.action, p.entity, p.entity_key,
               p.before, p.after, p.source, p.address, p.request_id, p.task_id, NULL, NULL)::audit_log AS a, h.hash AS head
      FROM audit_pending p JOIN audit_heads h USING (chain) WHERE p.xid = mine),
  linked AS (
    SELECT a, head, audit_linked(head, sha256(convert_to(audit_canonical(a), 'UTF8'))) OVER (PARTITION BY (a).chain ORDER BY (a).seq) AS hash FROM told),
  sealed AS (
    INSERT INTO audit_log
    SELECT (a).chain, (a).seq, (a).at, (a).actor, (a).actor_name, (a).action, (a).entity, (a).entity_key, (a).before, (a).after, (a).source, (a).address,
           (a).request_id, (a).task_id, lag(hash, 1, head) OVER (PARTITION BY (a).chain ORDER BY (a).seq), hash FROM linked
    RETURNING chain, seq, hash)
  UPDATE audit_heads h SET seq = s.seq, hash = s.hash FROM (SELECT DISTINCT ON (chain) chain, seq, hash FROM sealed ORDER BY chain, seq DESC) AS s WHERE h.chain = s.chain;
  DELETE FROM audit_pending p WHERE p.xid = mine;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON audit_pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.opens) EXECUTE FUNCTION audit_seal();
-- 'people' begins here, so that it is always there and names every other chain from its first row on.
INSERT INTO audit_pending (opens, chain, actor_name, action, entity, entity_key, after, source)
  VALUES (true, 'people', session_user, 'inserted', 'audit_chains', 'people', '{"chain": "people"}', 'migration');
CREATE TRIGGER append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_pending FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit();

-- ── what a statement leaves ─────────────────────────────────────────────────────────────────────────────
-- A row as it is kept: what is long in a big one (a whole statement of a custodian) by its digest.
CREATE FUNCTION audit_kept(r jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN octet_length(r::text) <= 8192 THEN r ELSE
    (SELECT jsonb_object_agg(key, CASE WHEN octet_length(value::text) <= 1024 THEN value ELSE
       jsonb_build_object('octets', octet_length(value::text), 'sha256', encode(sha256(convert_to(value::text, 'UTF8')), 'hex')) END)
       FROM jsonb_each(r)) END $$;
CREATE FUNCTION audit_told() RETURNS TABLE (actor uuid, actor_name text, source text, address text, request_id text, task_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT app_user(), coalesce((SELECT username FROM users WHERE user_id = app_user()), session_user),
         coalesce(nullif(current_setting('app.source', true), ''), 'database'), nullif(current_setting('app.address', true), ''),
         nullif(current_setting('app.request_id', true), ''), nullif(current_setting('app.task_id', true), '')::uuid $$;

-- Arguments: the chain ('portfolio' stands for that of the row), who is recorded (all; people: neither what a program did nor what
-- a feed gave, whoever asked for it), then as arrays the key columns, the columns that are never shown, the columns whose change alone is
-- not worth a row. OFFSET 0: a row is made into JSON once, not wherever it is named (the plan of a task may have megabytes).
CREATE FUNCTION audit_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  its_chain constant text := TG_ARGV[0];
  k constant text[] := TG_ARGV[2];
  hidden constant text[] := TG_ARGV[3];
  ignored constant text[] := TG_ARGV[4];
  every constant boolean := TG_ARGV[1] = 'all';
  typed constant text := 'manual';                                 -- the provider of what a person typed (core.plans.MANUAL)
BEGIN
  IF NOT every AND app_user() IS NULL THEN
    RETURN NULL;
  ELSIF TG_OP = 'UPDATE' THEN
    IF ignored <> '{}' AND NOT EXISTS (SELECT to_jsonb(x) - ignored FROM new_rows x EXCEPT ALL SELECT to_jsonb(x) - ignored FROM old_rows x) THEN
      RETURN NULL;                                                 -- every booking comes by here with a new version of its portfolio
    END IF;
    INSERT INTO audit_pending (opens, chain, actor, actor_name, action, entity, entity_key, before, after, source, address, request_id, task_id)
    SELECT row_number() OVER (ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5]) = 1,
           CASE its_chain WHEN 'portfolio' THEN 'portfolio:' || (r ->> 'portfolio_id') ELSE its_chain END, told.actor, told.actor_name,
           CASE WHEN o IS NULL THEN 'inserted' WHEN n IS NULL THEN 'deleted' ELSE 'updated' END, TG_TABLE_NAME,
           concat_ws('/', r ->> k[1], r ->> k[2], r ->> k[3], r ->> k[4], r ->> k[5]),
           audit_kept(CASE WHEN n IS NULL THEN o ELSE was END - hidden), audit_kept(CASE WHEN o IS NULL THEN n ELSE becomes END - hidden),
           told.source, told.address, told.request_id, told.task_id
      FROM (SELECT o, n, coalesce(n, o) AS r
              FROM (SELECT to_jsonb(x) AS o FROM old_rows x OFFSET 0) AS olds FULL JOIN (SELECT to_jsonb(x) AS n FROM new_rows x OFFSET 0) AS news
                ON concat_ws('/', o ->> k[1], o ->> k[2], o ->> k[3], o ->> k[4], o ->> k[5])
                 = concat_ws('/', n ->> k[1], n ->> k[2], n ->> k[3], n ->> k[4], n ->> k[5])) AS pairs
     CROSS JOIN LATERAL (SELECT jsonb_object_agg(key, value) AS was, jsonb_object_agg(key, n -> key) AS becomes FROM jsonb_each(o - ignored)
                          WHERE key = ANY (k) OR value IS DISTINCT FROM n -> key) AS changed
     CROSS JOIN audit_told() AS told
     WHERE o - ignored IS DISTINCT FROM n - ignored
       AND (every OR typed IN (coalesce(o ->> 'provider', n ->> 'provider', typed), coalesce(n ->> 'provider', o ->> 'provider', typed)))
     ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5];
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO audit_pending (opens, chain, actor, actor_name, action, entity, entity_key, after, source, address, request_id, task_id)
    SELECT row_number() OVER (ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5]) = 1,
           CASE its_chain WHEN 'portfolio' THEN 'portfolio:' || (r ->> 'portfolio_id') ELSE its_chain END, told.actor, told.actor_name,
           'inserted', TG_TABLE_NAME, concat_ws('/', r ->> k[1], r ->> k[2], r ->> k[3], r ->> k[4], r ->> k[5]), audit_kept(r - hidden),
           told.source, told.address, told.request_id, told.task_id
      FROM (SELECT to_jsonb(x) AS r FROM new_rows x OFFSET 0) AS news, audit_told() AS told
     WHERE every OR coalesce(r ->> 'provider', typed) = typed
     ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5];
  ELSE
    INSERT INTO audit_pending (opens, chain, actor, actor_name, action, entity, entity_key, before, source, address, request_id, task_id)
    SELECT row_number() OVER (ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5]) = 1,
           CASE its_chain WHEN 'portfolio' THEN 'portfolio:' || (r ->> 'portfolio_id') ELSE its_chain END, told.actor, told.actor_name,
           'deleted', TG_TABLE_NAME, concat_ws('/', r ->> k[1], r ->> k[2], r ->> k[3], r ->> k[4], r ->> k[5]), audit_kept(r - hidden),
           told.source, told.address, told.request_id, told.task_id
      FROM (SELECT to_jsonb(x) AS r FROM old_rows x OFFSET 0) AS olds, audit_told() AS told
     WHERE every OR coalesce(r ->> 'provider', typed) = typed
     ORDER BY r -> k[1], r -> k[2], r -> k[3], r -> k[4], r -> k[5];
  END IF;
  RETURN NULL;
END $$;

-- Emptying a table is the owner's alone; it leaves one row, without what was in it.
CREATE FUNCTION audit_truncation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE rows bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %I', TG_TABLE_NAME) INTO rows;
  INSERT INTO audit_pending (opens, chain, actor, actor_name, action, entity, entity_key, before, source, address, request_id, task_id)
  SELECT true, CASE TG_ARGV[0] WHEN 'portfolio' THEN 'people' ELSE TG_ARGV[0] END, t.actor, t.actor_name, 'truncated', TG_TABLE_NAME, '',
         jsonb_build_object('rows', rows), t.source, t.address, t.request_id, t.task_id FROM audit_told() AS t;
  RETURN NULL;
END $$;

-- The ledger is a trail of its own: of a booking only a summary is kept, one for each portfolio of a statement.
CREATE FUNCTION audit_booked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO audit_pending (opens, chain, actor, actor_name, action, entity, entity_key, after, source, address, request_id, task_id)
  SELECT true, 'portfolio:' || b.portfolio_id, t.actor, t.actor_name, 'booked', TG_TABLE_NAME, b.its_key,
         jsonb_build_object('rows', b.rows, 'kinds', b.kinds, 'first_seq', b.first, 'last_seq', b.last, 'ids_sha256', b.ids),
         t.source, t.address, t.request_id, t.task_id
    FROM (SELECT portfolio_id, sum(rows)::bigint AS rows, jsonb_object_agg(kind, rows) AS kinds, min(first) AS first, max(last) AS last,
                 (SELECT encode(sha256(string_agg(uuid_send(n.transaction_id), ''::bytea ORDER BY n.seq)), 'hex') FROM new_rows n
                   WHERE n.portfolio_id = k.portfolio_id) AS ids,
                 CASE WHEN sum(rows) = 1 THEN min(one) ELSE min(first) || '–' || max(last) END AS its_key
            FROM (SELECT portfolio_id, kind, count(*) AS rows, min(seq) AS first, max(seq) AS last, min(transaction_id::text) AS one
                    FROM new_rows GROUP BY 1, 2) AS k GROUP BY 1) AS b, audit_told() AS t
   ORDER BY b.portfolio_id;
  RETURN NULL;
END $$;

-- ── who joins ───────────────────────────────────────────────────────────────────────────────────────────
-- What carries a portfolio goes into that portfolio's chain; what names a person, and the installation's settings, into 'people',
-- which only admins read; all else into 'master', which everybody signed in reads.
CREATE FUNCTION audit_join(t regclass, who text, ignored text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  named constant text[] := ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = t AND attnum > 0 AND NOT attisdropped ORDER BY attnum);
  key constant text[] := ARRAY(SELECT a.attname::text FROM pg_index x CROSS JOIN unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = t AND a.attnum = k.attnum WHERE x.indrelid = t AND x.indisprimary ORDER BY k.place);
  -- secrets; and where a request came from, which the row of the trail says itself, to those who may know
  hidden constant text[] := ARRAY(SELECT x FROM unnest(named) AS x
    WHERE x ~ 'password|secret|token' OR (x IN ('address', 'request_id') AND 'request_id' = ANY (named)));
  chain constant text := CASE WHEN 'portfolio_id' = ANY (named) THEN 'portfolio' WHEN 'user_id' = ANY (named) OR t = 'installation'::regclass
    THEN 'people' ELSE 'master' END;
  arguments text;
BEGIN
  IF cardinality(key) NOT BETWEEN 1 AND 5 OR NOT ignored <@ named THEN
    RAISE EXCEPTION '% cannot be audited: it needs a primary key of at most five columns, and must have the columns %', t, ignored;
  END IF;
  arguments := format('%L, %L, %L, %L, %L', chain, who, key, hidden, ignored);
  EXECUTE format('CREATE OR REPLACE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
  EXECUTE format('CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
  EXECUTE format('CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
  EXECUTE format('CREATE OR REPLACE TRIGGER audit_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION audit_truncation(%L)', t, chain);
END $$;
CREATE FUNCTION audited(t regclass, VARIADIC ignored text[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$ SELECT audit_join(t, 'all', ignored) $$;
CREATE FUNCTION audited_by_people(t regclass, VARIADIC ignored text[] DEFAULT '{}') RETURNS void LANGUAGE sql AS
  $$ SELECT audit_join(t, 'people', ignored) $$;

SELECT audited('securities'), audited('sectors'), audited('asset_classes'), audited('countries'), audited('currencies'), audited('exchanges'),
  audited('counterparties');
SELECT audited('users'), audited('credentials'), audited('installation'), audited('import_maps'), audited('security_matches');
SELECT audited('portfolios', 'version', 'restated', 'restate_from'), audited('grants'), audited('cost_methods'), audited('limits'), audited('imports'),
  audited('reconciliations'), audited('reconciliation_signoffs');
SELECT audited_by_people('corporate_actions'), audited_by_people('asset_prices', 'updated_at'), audited_by_people('price_history');
CREATE TRIGGER audit_insert AFTER INSERT ON transactions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit_booked();

-- ── who may read ────────────────────────────────────────────────────────────────────────────────────────
CREATE FUNCTION audit_readable() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT ARRAY(SELECT 'master' FROM users WHERE user_id = app_user() AND disabled_at IS NULL
               UNION ALL SELECT 'people' FROM users WHERE user_id = app_user() AND disabled_at IS NULL AND role = 'admin'
               UNION ALL SELECT 'portfolio:' || p FROM unnest(readable()) AS p) $$;
-- For admins: every chain there is, and the links of one without what it says, so that the whole can be verified by who may not read it.
CREATE FUNCTION audit_chains() RETURNS TABLE (chain text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT c.chain FROM (SELECT l.chain FROM audit_log l UNION SELECT h.chain FROM audit_heads h) AS c WHERE 'people' = ANY (audit_readable()) $$;
CREATE FUNCTION audit_links(its_chain text, behind bigint, most integer) RETURNS TABLE (seq bigint, digest bytea, previous bytea, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT l.seq, sha256(convert_to(audit_canonical(l), 'UTF8')), l.previous, l.hash FROM audit_log l
   WHERE 'people' = ANY (audit_readable()) AND l.chain = its_chain AND (behind IS NULL OR l.seq > behind) ORDER BY l.seq LIMIT most $$;
CREATE FUNCTION audit_head(its_chain text) RETURNS TABLE (seq bigint, hash bytea) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
  $$ SELECT h.seq, h.hash FROM audit_heads h WHERE h.chain = its_chain AND 'people' = ANY (audit_readable()) $$;

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit_log TO ballast_owner USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON audit_heads TO ballast_owner USING (true) WITH CHECK (true);
CREATE POLICY jobs_read ON audit_log FOR SELECT TO ballast_jobs USING (true);
CREATE POLICY jobs_read ON audit_heads FOR SELECT TO ballast_jobs USING (true);
CREATE POLICY web_reads ON audit_log FOR SELECT TO ballast_web USING (chain = ANY ((SELECT audit_readable())::text[]));
CREATE POLICY web_reads ON audit_heads FOR SELECT TO ballast_web USING (chain = ANY ((SELECT audit_readable())::text[]));
REVOKE ALL ON audit_log, audit_heads, audit_pending FROM PUBLIC, ballast_web, ballast_jobs;
GRANT SELECT ON audit_log, audit_heads TO ballast_web, ballast_jobs;
REVOKE ALL ON FUNCTION refuse_audit(), netstring(text), audit_canonical(audit_log), audit_link(bytea, bytea, bytea), audit_linked(bytea, bytea), audit_seal(), audit_kept(jsonb), audit_told(), audit_rows(),
  audit_truncation(), audit_booked(), audit_join(regclass, text, text[]), audited(regclass, text[]), audited_by_people(regclass, text[]),
  audit_readable(), audit_chains(), audit_links(text, bigint, integer), audit_head(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_readable(), audit_chains(), audit_links(text, bigint, integer), audit_head(text) TO ballast_web;
