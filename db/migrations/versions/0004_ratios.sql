-- A ratio is two whole numbers, new units for old ones, in lowest terms: 1:3 was 0.3333333333, of which 300 units made 99.99999999.

ALTER TABLE transactions
  ADD COLUMN ratio_new numeric(28,0) CHECK (ratio_new > 0),        -- split: so many new units for
  ADD COLUMN ratio_old numeric(28,0) CHECK (ratio_old > 0),        -- so many old ones
  ADD CONSTRAINT transactions_ratio_whole CHECK ((ratio_new IS NULL) = (ratio_old IS NULL));
ALTER TABLE corporate_actions
  ADD COLUMN ratio_new numeric(28,0) CHECK (ratio_new > 0),
  ADD COLUMN ratio_old numeric(28,0) CHECK (ratio_old > 0),
  ADD CONSTRAINT corporate_actions_ratio_whole CHECK ((ratio_new IS NULL) = (ratio_old IS NULL));
ALTER TABLE action_corrections ADD COLUMN ratio_new numeric(28,0), ADD COLUMN ratio_old numeric(28,0);

-- ── what was kept ───────────────────────────────────────────────────────────────────────────────────────
-- The decimal as it stands, in lowest terms.
CREATE FUNCTION ratio_exact(value numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT ARRAY[n / gcd(n, m), m / gcd(n, m)] FROM (SELECT trim_scale(value) * m AS n, m FROM (SELECT round(10::numeric ^ scale(trim_scale(value))) AS m) a) b $$;
-- The ratio that it is the rounding of, as core.ratio.rounded has it; null: of none.
CREATE FUNCTION ratio_rounded(value numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT ARRAY[n / gcd(n, m), m / gcd(n, m)]
    FROM (SELECT m::numeric AS m, round(value * m) AS n, 10::numeric ^ scale(trim_scale(value)) AS whole FROM generate_series(1, 1000) AS m) a
   WHERE whole >= 1000000 AND n > 0 AND (abs(value * m - n) * 2e10 <= m OR (2500 * m * m <= whole AND abs(value * m - n) * whole <= m)) ORDER BY m LIMIT 1 $$;

ALTER TABLE corporate_actions DISABLE TRIGGER USER;                -- what is written otherwise is no news, and no change by somebody
ALTER TABLE action_corrections DISABLE TRIGGER USER;
ALTER TABLE transactions DISABLE TRIGGER USER;
UPDATE corporate_actions SET ratio_new = r[1], ratio_old = r[2]
  FROM (SELECT DISTINCT ratio AS was, coalesce(ratio_rounded(ratio), ratio_exact(ratio)) AS r FROM corporate_actions WHERE ratio > 0) x WHERE ratio = was;
UPDATE action_corrections SET ratio_new = r[1], ratio_old = r[2]
  FROM (SELECT DISTINCT ratio AS was, coalesce(ratio_rounded(ratio), ratio_exact(ratio)) AS r FROM action_corrections WHERE ratio > 0) x WHERE ratio = was;

-- Entries: a decimal that may be the rounding of a ratio is that ratio, unless the units held then say otherwise. They do where the
-- decimal as it stands makes whole units of them; and one of fewer than ten places is the ratio only where that makes whole units.
-- Nor is it where a later entry takes what the decimal made, to the last place (core.decimal_ratios): that one stays, and the portfolio is
-- gone through once more. `as_it_stood` counts what every decimal as it stands would have made.
CREATE TABLE ratio_held (security_id integer PRIMARY KEY, units numeric NOT NULL, as_it_stood numeric NOT NULL, behind uuid[] NOT NULL);
CREATE TABLE ratio_literal (transaction_id uuid PRIMARY KEY);
DO $$
DECLARE
  its_portfolio uuid;
  t record;
  r numeric[];
  stands numeric[];
  near numeric[];
  held numeric;
  stood numeric;
  taken numeric;
  its uuid[];
  again boolean;
BEGIN
  FOR its_portfolio IN SELECT DISTINCT portfolio_id FROM transactions WHERE ratio IS NOT NULL LOOP
   LOOP
    again := false;
    DELETE FROM ratio_held;
    FOR t IN SELECT x.*, EXISTS (SELECT FROM transactions v WHERE v.portfolio_id = x.portfolio_id AND v.reverses = x.transaction_id) AS gone
               FROM transactions x WHERE x.portfolio_id = its_portfolio AND x.kind <> 'reversal' AND x.security_id IS NOT NULL
              ORDER BY traded_on, kind NOT IN ('split', 'spin_off', 'merger', 'symbol_change'), coalesce(place, seq), seq LOOP
      SELECT h.units, h.as_it_stood, h.behind INTO held, stood, its FROM ratio_held h WHERE h.security_id = t.security_id;
      IF NOT FOUND THEN
        SELECT 0, 0, '{}' INTO held, stood, its;
      END IF;
      r := CASE WHEN t.kind = 'symbol_change' THEN ARRAY[1, 1]::numeric[] END;
      stands := r;
      IF t.ratio IS NOT NULL THEN
        stands := ratio_exact(t.ratio);
        r := stands;
        near := CASE WHEN t.transaction_id NOT IN (SELECT transaction_id FROM ratio_literal) THEN ratio_rounded(t.ratio) END;
        IF (near IS NOT NULL AND CASE WHEN scale(trim_scale(t.ratio)) = 10 OR abs(t.ratio * near[2] - near[1]) * 2e10 <= near[2]
                                     THEN held = 0 OR held * t.ratio % 1 <> 0
                                     ELSE held * t.ratio % 1 <> 0 AND held * near[1] % near[2] = 0 END) THEN
          r := near;
          IF near <> stands AND NOT t.gone THEN
            its := its || t.transaction_id;
          END IF;
        END IF;
        UPDATE transactions SET ratio_new = r[1], ratio_old = r[2] WHERE portfolio_id = its_portfolio AND transaction_id = t.transaction_id;
      END IF;
      CONTINUE WHEN t.gone;
      IF t.into_id IS NOT NULL AND r IS NOT NULL THEN
        INSERT INTO ratio_held AS h VALUES (t.into_id, round(held * r[1] / r[2], 10), round(stood * stands[1] / stands[2], 10), its)
          ON CONFLICT (security_id) DO UPDATE SET units = h.units + EXCLUDED.units, as_it_stood = h.as_it_stood + EXCLUDED.as_it_stood,
            behind = h.behind || EXCLUDED.behind;
      END IF;
      taken := CASE WHEN t.kind IN ('buy', 'cover', 'transfer_in') THEN t.quantity WHEN t.kind IN ('sell', 'short', 'transfer_out') THEN -t.quantity END;
      IF t.kind = 'split' THEN
        SELECT round(held * r[1] / r[2], 10), round(stood * stands[1] / stands[2], 10) INTO held, stood;
      ELSIF t.kind IN ('merger', 'symbol_change') THEN
        SELECT 0, 0, '{}' INTO held, stood, its;
      ELSIF taken IS NOT NULL THEN
        SELECT held + taken, stood + taken INTO held, stood;
      END IF;
      IF t.kind <> 'spin_off' THEN
        INSERT INTO ratio_held VALUES (t.security_id, held, stood, its)
          ON CONFLICT (security_id) DO UPDATE SET units = EXCLUDED.units, as_it_stood = EXCLUDED.as_it_stood, behind = EXCLUDED.behind;
      END IF;
      IF (t.kind IN ('sell', 'transfer_out', 'cover') AND cardinality(its) > 0
          AND (CASE WHEN t.kind = 'cover' THEN held > 1e-8 AND stood <= 1e-8 ELSE held < -1e-8 AND stood >= -1e-8 END
               OR (abs(stood) <= 1e-8 AND abs(stood) < abs(held)))) THEN
        INSERT INTO ratio_literal VALUES (its[cardinality(its)]);
        again := true;
        EXIT;
      END IF;
    END LOOP;
    EXIT WHEN NOT again;
   END LOOP;
  END LOOP;
END $$;
DROP TABLE ratio_held, ratio_literal;
DROP FUNCTION ratio_exact(numeric), ratio_rounded(numeric);
ALTER TABLE transactions ENABLE TRIGGER USER;
ALTER TABLE action_corrections ENABLE TRIGGER USER;
ALTER TABLE corporate_actions ENABLE TRIGGER USER;

-- ── what reads it ───────────────────────────────────────────────────────────────────────────────────────
DROP FUNCTION actions_known(integer[], timestamptz);
ALTER TABLE transactions DROP COLUMN ratio;
ALTER TABLE corporate_actions DROP COLUMN ratio;
ALTER TABLE action_corrections DROP COLUMN ratio;
CREATE OR REPLACE FUNCTION keep_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.pay_on, NEW.ratio_new, NEW.ratio_old, NEW.amount, NEW.currency) IS NOT DISTINCT FROM (OLD.pay_on, OLD.ratio_new, OLD.ratio_old, OLD.amount, OLD.currency)
     OR OLD.recorded_at = recorded() THEN
    NEW.recorded_at := OLD.recorded_at;
  ELSE
    NEW.recorded_at := greatest(recorded(), OLD.recorded_at + interval '1 microsecond');
    INSERT INTO action_corrections (security_id, action_id, recorded_at, kind, ex_on, pay_on, ratio_new, ratio_old, amount, currency, provider, known_from)
    VALUES (OLD.security_id, OLD.action_id, NEW.recorded_at, OLD.kind, OLD.ex_on, OLD.pay_on, OLD.ratio_new, OLD.ratio_old, OLD.amount, OLD.currency, OLD.provider,
            OLD.recorded_at);
  END IF;
  RETURN NEW;
END $$;
CREATE FUNCTION actions_known(ids integer[], at timestamptz) RETURNS TABLE (security_id integer, kind text, ex_on date, pay_on date,
  amount numeric, currency text, ratio_new numeric, ratio_old numeric) LANGUAGE sql STABLE AS $$
  SELECT a.security_id, a.kind, a.ex_on, a.pay_on, a.amount, a.currency, a.ratio_new, a.ratio_old FROM corporate_actions a
   WHERE a.security_id = ANY (ids) AND a.recorded_at <= at
  UNION ALL
  SELECT p.security_id, p.kind, p.ex_on, p.pay_on, p.amount, p.currency, p.ratio_new, p.ratio_old FROM action_corrections p
   WHERE p.security_id = ANY (ids) AND p.known_from <= at AND p.recorded_at > at $$;
REVOKE ALL ON FUNCTION actions_known(integer[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION actions_known(integer[], timestamptz) TO ballast_web, ballast_jobs;
