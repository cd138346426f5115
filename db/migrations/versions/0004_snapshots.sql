-- What was recorded stays: a booking for an earlier day is added to the points after it, and they say so.

ALTER TABLE portfolio_snapshots
  ADD COLUMN computed    boolean NOT NULL DEFAULT false,           -- from closes and the ledger, for a session that nobody recorded
  ADD COLUMN restated_at timestamptz;                              -- when what was booked later was added to what had been recorded
-- every point of a portfolio stands at the same entries of its ledger: those up to this number, under these cost methods
ALTER TABLE holding_states ADD COLUMN seq bigint, ADD COLUMN methods jsonb;
UPDATE holding_states s SET seq = coalesce((
  SELECT max(t.seq) FROM transactions t JOIN portfolios p USING (portfolio_id)
   WHERE t.portfolio_id = s.portfolio_id AND (p.version = s.version OR t.recorded_at <=
         (SELECT max(n.recorded_at) FROM portfolio_snapshots n WHERE n.portfolio_id = s.portfolio_id))), 0);
-- until now the past was rebuilt without its positions, one point at each session's close
UPDATE portfolio_snapshots n SET computed = true
 WHERE invested <> 0 AND bucket IN (SELECT close_at FROM trading_sessions)
   AND NOT EXISTS (SELECT FROM position_snapshots r WHERE r.portfolio_id = n.portfolio_id AND r.bucket = n.bucket);

-- rounded half-even, as core.money.posted
CREATE FUNCTION half_even(x numeric, places integer) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT round(x, places) - CASE WHEN abs(x) * 10::numeric ^ places % 2 = 0.5 THEN sign(x) * 10::numeric ^ -places ELSE 0 END $$;
REVOKE ALL ON FUNCTION half_even(numeric, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION half_even(numeric, integer) TO ballast_jobs;
