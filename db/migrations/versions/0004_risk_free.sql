-- The risk-free rate of a currency, effective per year, from a day on until the next one.
CREATE TABLE risk_free_rates (
  currency    char(3) NOT NULL REFERENCES currencies,
  "on"        date NOT NULL,
  rate        numeric(12,8) NOT NULL CHECK (rate > -1 AND rate < 1),
  provider    text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (currency, "on")
);
GRANT SELECT ON risk_free_rates TO ballast_web, ballast_jobs;
GRANT INSERT, UPDATE ON risk_free_rates TO ballast_jobs;
