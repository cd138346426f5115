-- The whole ledger. A table that names a portfolio ends with SELECT protect('its_name'): forced row-level security,
-- and reading for whom the portfolio is readable; who may write says a policy of its own.

CREATE FUNCTION protect(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
  EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
  EXECUTE format('CREATE POLICY owner_all ON %I TO ballast_owner USING (true) WITH CHECK (true)', t);
  EXECUTE format('CREATE POLICY jobs_all ON %I TO ballast_jobs USING (true) WITH CHECK (true)', t);
  EXECUTE format('CREATE POLICY web_reads ON %I FOR SELECT TO ballast_web USING (portfolio_id = ANY ((SELECT readable())::uuid[]))', t);
  EXECUTE format('GRANT SELECT ON %I TO ballast_web, ballast_jobs', t);
END $$;
REVOKE ALL ON FUNCTION protect(text) FROM PUBLIC;

-- ── transactions: what only a few kinds have ────────────────────────────────────────────────────────────
ALTER TABLE transactions DROP CONSTRAINT transactions_kind_check;
ALTER TABLE transactions ADD CONSTRAINT transactions_kind_check CHECK (kind IN ('buy', 'sell', 'short', 'cover', 'dividend', 'interest', 'fee',
  'tax', 'deposit', 'withdrawal', 'transfer_in', 'transfer_out', 'split', 'return_of_capital', 'spin_off', 'merger', 'symbol_change',
  'fx_in', 'fx_out', 'reversal'));
ALTER TABLE transactions
  ADD COLUMN into_id     integer REFERENCES securities,            -- what a spin-off, merger or symbol change ends in
  ADD COLUMN fraction    numeric(28,10) CHECK (fraction BETWEEN 0 AND 1), -- spin-off: share of the cost that moves
  ADD COLUMN basis       numeric(28,6) CHECK (basis >= 0),         -- transfer in kind: the cost that comes along
  ADD COLUMN basis_base  numeric(28,6) CHECK (basis_base >= 0),    -- the same in the base currency
  ADD COLUMN acquired_on date,                                     -- transfer in kind: when the units were bought
  ADD COLUMN lots        jsonb,                                    -- chosen lots: [[opening transaction, units], …]
  ADD COLUMN link        uuid,                                     -- the same on all entries of one transfer between portfolios
  ADD COLUMN corrects    uuid;                                     -- the reversed entry that this one stands in for
-- few rows have these: the reader of the ledger fetches them beside the packed columns
CREATE INDEX transactions_detailed ON transactions (portfolio_id)
  WHERE into_id IS NOT NULL OR basis IS NOT NULL OR acquired_on IS NOT NULL OR lots IS NOT NULL OR kind = 'merger';

-- ── cost methods are dated, and known since ─────────────────────────────────────────────────────────────
ALTER TABLE cost_methods ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE cost_methods DROP CONSTRAINT cost_methods_pkey;
ALTER TABLE cost_methods ADD PRIMARY KEY (portfolio_id, valid_from, recorded_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON cost_methods FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- ── calculation versions ────────────────────────────────────────────────────────────────────────────────
INSERT INTO calculation_versions (version, what) VALUES ('2', 'The cost of a part of a lot is rounded over all that was taken of it so far.');

-- ── income: when a dividend is paid, and what says that corporate actions changed ───────────────────────
ALTER TABLE corporate_actions ADD COLUMN pay_on date CHECK (pay_on >= ex_on);
INSERT INTO data_versions (name) VALUES ('actions') ON CONFLICT DO NOTHING;

-- ── reconciliations: a custodian's statement, what was found beside the ledger, what was decided ─────────
CREATE TABLE reconciliations (
  portfolio_id      uuid NOT NULL REFERENCES portfolios,
  reconciliation_id uuid NOT NULL DEFAULT uuidv7(),
  custodian         text NOT NULL CHECK (length(trim(custodian)) BETWEEN 1 AND 80),
  statement_on      date NOT NULL,
  basis             text NOT NULL CHECK (basis IN ('settlement', 'trade')), -- the date by which ours is counted
  file_name         text NOT NULL,
  file_sha256       text NOT NULL,
  tolerances        jsonb NOT NULL,
  lines             jsonb NOT NULL,                                -- as uploaded, each with its line number
  result            jsonb NOT NULL,                                -- rows with verdicts and causes as they were found
  known_at          timestamptz NOT NULL DEFAULT now(),            -- the ledger as it was known at this time
  made_at           timestamptz NOT NULL DEFAULT now(),
  made_by           uuid NOT NULL REFERENCES users,
  PRIMARY KEY (portfolio_id, reconciliation_id)
);
CREATE TABLE reconciliation_signoffs (
  portfolio_id      uuid NOT NULL REFERENCES portfolios,
  reconciliation_id uuid NOT NULL,
  signoff_id        uuid NOT NULL DEFAULT uuidv7(),                -- the last one about a row counts
  row_key           text NOT NULL,                                 -- '*': the whole
  decision          text NOT NULL CHECK (decision IN ('accepted', 'open', 'fixed')),
  comment           text NOT NULL DEFAULT '',
  signed_at         timestamptz NOT NULL DEFAULT now(),
  signed_by         uuid NOT NULL REFERENCES users,
  PRIMARY KEY (portfolio_id, reconciliation_id, signoff_id),
  FOREIGN KEY (portfolio_id, reconciliation_id) REFERENCES reconciliations (portfolio_id, reconciliation_id)
);
SELECT protect('reconciliations'), protect('reconciliation_signoffs');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON reconciliations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON reconciliations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON reconciliation_signoffs FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON reconciliation_signoffs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE POLICY web_makes ON reconciliations FOR INSERT TO ballast_web
  WITH CHECK (portfolio_id = ANY ((SELECT writable())::uuid[]) AND made_by = app_user());
CREATE POLICY web_signs ON reconciliation_signoffs FOR INSERT TO ballast_web
  WITH CHECK (portfolio_id = ANY ((SELECT writable())::uuid[]) AND signed_by = app_user());
GRANT INSERT ON reconciliations, reconciliation_signoffs TO ballast_web;

-- ── corrections ─────────────────────────────────────────────────────────────────────────────────────────
-- a corrected entry that stays on its day keeps its place there: the seq of the entry that was first booked
ALTER TABLE transactions ADD COLUMN place bigint;
CREATE INDEX transactions_corrects ON transactions (portfolio_id, corrects) WHERE corrects IS NOT NULL;
CREATE INDEX transactions_linked ON transactions (link) WHERE link IS NOT NULL;

-- ── known at: what was known when ───────────────────────────────────────────────────────────────────────
-- A writer takes its lock and then its time: all that one transaction records carries this one time, and the lock stays until
-- the commit. A reader of a past time waits until no writer that may have an earlier time is under way (docs/decisions/0011).
CREATE FUNCTION recorded() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT coalesce(nullif(current_setting('app.recorded_at', true), '')::timestamptz, clock_timestamp()) $$;
CREATE FUNCTION recording(portfolio uuid) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  what text := coalesce(portfolio::text, 'market data');
  held text := coalesce(current_setting('app.recording', true), '');
BEGIN
  IF position(what IN held) > 0 THEN                               -- this transaction has its time already
    RETURN recorded();
  ELSIF portfolio IS NULL THEN                                     -- writers of market data do not exclude each other
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(what, 0));
  ELSE
    PERFORM pg_advisory_xact_lock(hashtextextended(what, 0));
  END IF;
  PERFORM set_config('app.recording', held || ' ' || what, true), set_config('app.recorded_at', clock_timestamp()::text, true);
  RETURN recorded();
END $$;
CREATE FUNCTION settled(portfolio uuid) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  at timestamptz;
BEGIN                                                              -- every time up to the one returned is final
  BEGIN                                                            -- the locks go with the inner block: nobody waits for this reader
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(portfolio::text, 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('market data', 0));
    at := clock_timestamp();
    RAISE EXCEPTION 'undo';
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  RETURN at;
END $$;

ALTER TABLE transactions ALTER COLUMN recorded_at SET DEFAULT recorded();
ALTER TABLE price_history ALTER COLUMN recorded_at SET DEFAULT recorded();
ALTER TABLE cost_methods ALTER COLUMN recorded_at SET DEFAULT recorded();
ALTER TABLE cost_methods DISABLE TRIGGER append_only;              -- those that stood before were known from the beginning
UPDATE cost_methods m SET recorded_at = p.created_at FROM portfolios p WHERE p.portfolio_id = m.portfolio_id;
ALTER TABLE cost_methods ENABLE TRIGGER append_only;

ALTER TABLE limits ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT recorded();
ALTER TABLE limits DROP CONSTRAINT limits_pkey;
ALTER TABLE limits ADD PRIMARY KEY (portfolio_id, rule, valid_from, recorded_at);
UPDATE limits l SET recorded_at = p.created_at FROM portfolios p WHERE p.portfolio_id = l.portfolio_id;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON limits FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A bar or rate is known with a value from one time until another: [known_from, recorded_at) of its correction, then the next.
-- Nobody could know what was replaced within the transaction that wrote it: that leaves no correction.
CREATE OR REPLACE FUNCTION keep_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.close IS NOT DISTINCT FROM OLD.close OR OLD.recorded_at = recorded() THEN
    NEW.recorded_at := OLD.recorded_at;
  ELSE
    NEW.recorded_at := greatest(recorded(), OLD.recorded_at + interval '1 microsecond');
    INSERT INTO price_corrections (security_id, "on", recorded_at, close, provider, known_from)
    VALUES (OLD.security_id, OLD."on", NEW.recorded_at, OLD.close, OLD.provider, OLD.recorded_at);
  END IF;
  RETURN NEW;
END $$;
ALTER TABLE price_corrections DISABLE TRIGGER append_only;         -- the first trigger took the time of a correction twice
UPDATE price_corrections p SET recorded_at = n.at
  FROM (SELECT q.security_id, q."on", q.recorded_at AS was, coalesce(lead(q.known_from) OVER (PARTITION BY q.security_id, q."on" ORDER BY q.recorded_at),
               h.recorded_at) AS at FROM price_corrections q JOIN price_history h USING (security_id, "on")) n
 WHERE (p.security_id, p."on", p.recorded_at) = (n.security_id, n."on", n.was) AND n.at > p.known_from AND n.at <> n.was;
ALTER TABLE price_corrections ENABLE TRIGGER append_only;

ALTER TABLE fx_rates ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00+00'; -- those of before: always known
ALTER TABLE fx_rates ALTER COLUMN recorded_at SET DEFAULT recorded();
CREATE TABLE fx_corrections (
  base  text NOT NULL REFERENCES currencies,
  quote text NOT NULL REFERENCES currencies,
  "on"  date NOT NULL,
  recorded_at timestamptz NOT NULL,
  rate  numeric(28,10) NOT NULL,                                   -- what was published until then
  provider text NOT NULL,
  known_from timestamptz NOT NULL,
  PRIMARY KEY (base, quote, "on", recorded_at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON fx_corrections FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION keep_rate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.rate IS NOT DISTINCT FROM OLD.rate OR OLD.recorded_at = recorded() THEN
    NEW.recorded_at := OLD.recorded_at;
  ELSE
    NEW.recorded_at := greatest(recorded(), OLD.recorded_at + interval '1 microsecond');
    INSERT INTO fx_corrections (base, quote, "on", recorded_at, rate, provider, known_from)
    VALUES (OLD.base, OLD.quote, OLD."on", NEW.recorded_at, OLD.rate, OLD.provider, OLD.recorded_at);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_rate BEFORE UPDATE ON fx_rates FOR EACH ROW EXECUTE FUNCTION keep_rate();

CREATE FUNCTION closes_known(ids integer[], at timestamptz)
RETURNS TABLE (security_id integer, "on" date, close numeric, provider text, corrected boolean) LANGUAGE sql STABLE AS $$
  SELECT h.security_id, h."on", h.close, h.provider, false FROM price_history h WHERE h.security_id = ANY (ids) AND h.recorded_at <= at
  UNION ALL
  SELECT p.security_id, p."on", p.close, p.provider, true FROM price_corrections p
   WHERE p.security_id = ANY (ids) AND p.known_from <= at AND p.recorded_at > at $$;
CREATE FUNCTION rates_known(quotes text[], at timestamptz) RETURNS TABLE (quote text, "on" date, rate numeric) LANGUAGE sql STABLE AS $$
  SELECT f.quote, f."on", f.rate FROM fx_rates f WHERE f.base = 'EUR' AND f.quote = ANY (quotes) AND f.recorded_at <= at
  UNION ALL
  SELECT p.quote, p."on", p.rate FROM fx_corrections p
   WHERE p.base = 'EUR' AND p.quote = ANY (quotes) AND p.known_from <= at AND p.recorded_at > at $$;

-- corporate actions as providers announce them: the same
ALTER TABLE corporate_actions ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT recorded();
UPDATE corporate_actions SET recorded_at = uuid_extract_timestamp(action_id) WHERE uuid_extract_timestamp(action_id) IS NOT NULL;
CREATE TABLE action_corrections (
  security_id integer NOT NULL REFERENCES securities,
  action_id   uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  kind        text NOT NULL,
  ex_on       date NOT NULL,
  pay_on      date,
  ratio       numeric(28,10),
  amount      numeric(28,10),
  currency    text,
  provider    text NOT NULL,
  known_from  timestamptz NOT NULL,
  PRIMARY KEY (security_id, action_id, recorded_at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON action_corrections FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION keep_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.pay_on, NEW.ratio, NEW.amount, NEW.currency) IS NOT DISTINCT FROM (OLD.pay_on, OLD.ratio, OLD.amount, OLD.currency)
     OR OLD.recorded_at = recorded() THEN
    NEW.recorded_at := OLD.recorded_at;
  ELSE
    NEW.recorded_at := greatest(recorded(), OLD.recorded_at + interval '1 microsecond');
    INSERT INTO action_corrections (security_id, action_id, recorded_at, kind, ex_on, pay_on, ratio, amount, currency, provider, known_from)
    VALUES (OLD.security_id, OLD.action_id, NEW.recorded_at, OLD.kind, OLD.ex_on, OLD.pay_on, OLD.ratio, OLD.amount, OLD.currency, OLD.provider, OLD.recorded_at);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_action BEFORE UPDATE ON corporate_actions FOR EACH ROW EXECUTE FUNCTION keep_action();
CREATE FUNCTION actions_known(ids integer[], at timestamptz) RETURNS TABLE (security_id integer, kind text, ex_on date, pay_on date,
  amount numeric, currency text, ratio numeric) LANGUAGE sql STABLE AS $$
  SELECT a.security_id, a.kind, a.ex_on, a.pay_on, a.amount, a.currency, a.ratio FROM corporate_actions a
   WHERE a.security_id = ANY (ids) AND a.recorded_at <= at
  UNION ALL
  SELECT p.security_id, p.kind, p.ex_on, p.pay_on, p.amount, p.currency, p.ratio FROM action_corrections p
   WHERE p.security_id = ANY (ids) AND p.known_from <= at AND p.recorded_at > at $$;

GRANT SELECT ON fx_corrections, action_corrections TO ballast_web, ballast_jobs;
GRANT INSERT ON fx_corrections, action_corrections TO ballast_jobs;
REVOKE ALL ON FUNCTION keep_action(), actions_known(integer[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION actions_known(integer[], timestamptz) TO ballast_web, ballast_jobs;
GRANT EXECUTE ON FUNCTION keep_action() TO ballast_jobs;
REVOKE ALL ON FUNCTION recorded(), recording(uuid), settled(uuid), keep_rate(), closes_known(integer[], timestamptz),
  rates_known(text[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recorded(), recording(uuid), settled(uuid), closes_known(integer[], timestamptz), rates_known(text[], timestamptz)
  TO ballast_web, ballast_jobs;
GRANT EXECUTE ON FUNCTION keep_rate() TO ballast_jobs;

-- ── imports: which entries came with which file, kept column maps, whom a file means by a name ──────────
ALTER TABLE transactions ADD COLUMN import_id uuid;                -- the import that booked it; no foreign key, as above
ALTER TABLE imports
  ADD COLUMN format  text NOT NULL DEFAULT 'own',                  -- own, a broker's format, map
  ADD COLUMN skipped integer NOT NULL DEFAULT 0;
CREATE TABLE import_maps (
  map_id      uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id     uuid REFERENCES users,                               -- whose it is; null: everybody's
  name        text NOT NULL CHECK (length(trim(name)) BETWEEN 1 AND 80),
  fingerprint text NOT NULL,                                       -- of the header, see core.recognition
  mapping     jsonb NOT NULL,
  created_by  uuid NOT NULL REFERENCES users,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (user_id, name)
);
CREATE TABLE security_matches (
  match_id    uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id     uuid REFERENCES users,                               -- null: everybody's
  source      text NOT NULL,                                       -- the format
  called      text NOT NULL CHECK (length(called) BETWEEN 1 AND 200), -- what the file calls the security
  security_id integer NOT NULL REFERENCES securities,
  created_by  uuid NOT NULL REFERENCES users,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (user_id, source, called)
);
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['import_maps', 'security_matches'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY owner_all ON %I TO ballast_owner USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY jobs_all ON %I TO ballast_jobs USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY web_reads ON %I FOR SELECT TO ballast_web USING (user_id = app_user() OR (user_id IS NULL AND app_user() IS NOT NULL))', t);
    EXECUTE format('CREATE POLICY web_adds ON %I FOR INSERT TO ballast_web WITH CHECK (created_by = app_user() AND (user_id IS NULL OR user_id = app_user()))', t);
    EXECUTE format('CREATE POLICY web_edits ON %I FOR UPDATE TO ballast_web USING (created_by = app_user()) WITH CHECK (created_by = app_user() AND (user_id IS NULL OR user_id = app_user()))', t);
    EXECUTE format('CREATE POLICY web_drops ON %I FOR DELETE TO ballast_web USING (created_by = app_user())', t);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO ballast_web', t);
    EXECUTE format('GRANT SELECT ON %I TO ballast_jobs', t);
  END LOOP;
END $$;
GRANT UPDATE (user_id, name, fingerprint, mapping) ON import_maps TO ballast_web;
GRANT UPDATE (security_id) ON security_matches TO ballast_web;
-- listed somewhere that has no calendar here; its sessions are the weekdays
INSERT INTO exchanges VALUES ('XOFF', 'Another exchange, or none', 'UTC', 'EUR') ON CONFLICT DO NOTHING;
-- The web role writes no market data; an import may propose the securities that it names, and no more than that.
CREATE FUNCTION propose_security(its_symbol text, its_exchange text, its_name text, its_isin text, its_currency text, its_class text)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE id integer;
BEGIN
  IF NOT EXISTS (SELECT FROM users WHERE user_id = app_user() AND role <> 'viewer' AND disabled_at IS NULL) THEN
    RAISE EXCEPTION 'only analysts and admins add securities' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO securities (symbol, exchange, name, isin, currency, asset_class)
  VALUES (its_symbol, its_exchange, its_name, nullif(its_isin, ''), its_currency, its_class)
  ON CONFLICT (exchange, symbol) DO NOTHING RETURNING security_id INTO id;
  IF id IS NULL THEN  -- somebody was faster: the same security, or another one under this symbol
    SELECT security_id INTO id FROM securities
     WHERE symbol = its_symbol AND exchange = its_exchange AND currency = its_currency
       AND (isin IS NULL OR nullif(its_isin, '') IS NULL OR isin = its_isin);
    RETURN id;
  END IF;
  UPDATE data_versions SET version = version + 1, updated_at = clock_timestamp() WHERE name = 'securities';
  RETURN id;
END $$;
REVOKE ALL ON FUNCTION propose_security(text, text, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION propose_security(text, text, text, text, text, text) TO ballast_web;
