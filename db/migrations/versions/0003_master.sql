-- The security master: symbols and classifications are dated, retired securities stay, dimensions may be kept by people.
ALTER TABLE securities DROP CONSTRAINT securities_status_check;
ALTER TABLE securities ADD CONSTRAINT securities_status_check CHECK (status IN ('active', 'halted', 'retired', 'delisted'));
ALTER TABLE securities ADD CHECK (matures_on > issued_on), ADD CHECK (par_value > 0), ADD CHECK (length(trim(name)) BETWEEN 1 AND 200);
ALTER TABLE securities ADD COLUMN ended_on date;                   -- since when it is retired or delisted
CREATE INDEX securities_isin ON securities (isin) WHERE isin IS NOT NULL;
CREATE INDEX securities_by_symbol ON securities (symbol, exchange);

CREATE TABLE security_symbols (
  security_id integer NOT NULL REFERENCES securities,
  valid_from  date NOT NULL DEFAULT '1900-01-01',
  symbol      text NOT NULL CHECK (symbol = upper(symbol) AND length(symbol) BETWEEN 1 AND 32),
  exchange    text NOT NULL REFERENCES exchanges,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (security_id, valid_from)
);
CREATE TABLE security_classifications (
  security_id integer NOT NULL REFERENCES securities,
  valid_from  date NOT NULL DEFAULT '1900-01-01',
  asset_class text NOT NULL REFERENCES asset_classes,
  sector_id   integer REFERENCES sectors,
  source      text NOT NULL,                                       -- a person, a file, a feed
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (security_id, valid_from, recorded_at)
);
INSERT INTO security_symbols (security_id, symbol, exchange, recorded_at) SELECT security_id, symbol, exchange, created_at FROM securities;
INSERT INTO security_classifications (security_id, asset_class, sector_id, source, recorded_at)
  SELECT security_id, asset_class, sector_id, 'before', created_at FROM securities;
CREATE INDEX security_symbols_by_symbol ON security_symbols (symbol, exchange);
CREATE INDEX transactions_of_security ON transactions (security_id) WHERE security_id IS NOT NULL;
CREATE INDEX transactions_into ON transactions (into_id) WHERE into_id IS NOT NULL;

-- What stands in the way of removing a security, over all portfolios; of those that the person may not see, no more than that they are there.
CREATE FUNCTION references_of(id integer) RETURNS TABLE (what text, portfolio_id uuid, portfolio text, amount numeric, first_on date, last_on date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH seen AS (SELECT unnest(readable()) AS portfolio_id),
  found AS (
    SELECT 'holding' AS what, h.portfolio_id, h.units AS amount, NULL::date AS first_on, NULL::date AS last_on
      FROM holdings h WHERE h.security_id = id AND h.units <> 0
    UNION ALL
    SELECT 'unsettled', t.portfolio_id, count(*), min(t.settles_on), max(t.settles_on) FROM transactions t
     WHERE t.security_id = id AND t.settles_on > current_date AND t.kind <> 'reversal'
       AND NOT EXISTS (SELECT FROM transactions r WHERE r.portfolio_id = t.portfolio_id AND r.reverses = t.transaction_id) GROUP BY 2
    UNION ALL
    SELECT 'history', t.portfolio_id, count(*), min(t.traded_on), max(t.traded_on) FROM transactions t
     WHERE t.security_id = id OR t.into_id = id GROUP BY 2
    UNION ALL
    SELECT 'benchmark', p.portfolio_id, 1, NULL, NULL FROM portfolios p WHERE p.benchmark_id = id AND p.archived_at IS NULL
    UNION ALL
    SELECT 'past benchmark', p.portfolio_id, 1, NULL, NULL FROM portfolios p WHERE p.benchmark_id = id AND p.archived_at IS NOT NULL
    UNION ALL
    SELECT 'dividend', NULL, a.amount, a.ex_on, a.pay_on FROM corporate_actions a
     WHERE a.security_id = id AND a.kind = 'dividend' AND greatest(a.ex_on, a.pay_on) > current_date
    UNION ALL
    SELECT 'corrections', NULL, count(*), min(c."on"), max(c."on") FROM price_corrections c WHERE c.security_id = id HAVING count(*) > 0
    UNION ALL
    SELECT 'corrections', NULL, count(*), min(c.ex_on), max(c.ex_on) FROM action_corrections c WHERE c.security_id = id HAVING count(*) > 0)
  SELECT f.what, s.portfolio_id, p.name, CASE WHEN o.open THEN f.amount END, CASE WHEN o.open THEN f.first_on END, CASE WHEN o.open THEN f.last_on END FROM found f
    LEFT JOIN seen s USING (portfolio_id) LEFT JOIN portfolios p ON p.portfolio_id = s.portfolio_id
    CROSS JOIN LATERAL (SELECT f.portfolio_id IS NULL OR s.portfolio_id IS NOT NULL AS open) o
   WHERE app_user() IS NOT NULL $$;
REVOKE ALL ON FUNCTION references_of(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION references_of(integer) TO ballast_web, ballast_jobs;

GRANT SELECT ON security_symbols, security_classifications TO ballast_web, ballast_jobs;
GRANT SELECT ON holding_states TO ballast_web;                     -- whether a portfolio's holdings are counted already
GRANT INSERT, UPDATE, DELETE ON security_symbols, security_classifications TO ballast_jobs;
GRANT DELETE ON securities, asset_prices, price_history, price_arrays, corporate_actions, security_matches TO ballast_jobs;
GRANT INSERT ON counterparties TO ballast_jobs;
SELECT audited('security_symbols'), audited('security_classifications');
