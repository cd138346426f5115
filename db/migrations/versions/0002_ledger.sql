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
