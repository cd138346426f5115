-- What feeds were asked for and could not give: remembered, so that far back is asked once, and shown.
-- Sessions of its exchange that a security has no bar of, found against its calendar: asked for again, ever more rarely.
CREATE TABLE price_gaps (
  security_id integer NOT NULL REFERENCES securities ON DELETE CASCADE,
  first_on    date NOT NULL,
  last_on     date NOT NULL CHECK (last_on >= first_on),
  until       date NOT NULL CHECK (until > last_on),               -- the bar after it
  sessions    integer NOT NULL CHECK (sessions >= 0),              -- on or after the first trade: 0 where only the margin before it is missing
  before_first boolean NOT NULL,                                   -- there is no bar before it
  found_at    timestamptz NOT NULL,
  tries       integer NOT NULL DEFAULT 0,                          -- how often the feeds answered without it
  asked_at    timestamptz,
  next_at     timestamptz,                                         -- not asked for before; null: at once
  feeds       text,                                                -- who was asked
  PRIMARY KEY (security_id, first_on)
);
-- of what the gaps were found last: they are looked for again when anything of it changes
CREATE TABLE gap_scans (
  one  boolean PRIMARY KEY DEFAULT true CHECK (one),
  seen text NOT NULL
);
-- from which day on the dividends and splits of a security were asked for, and answered, and when they were last
CREATE TABLE actions_asked (
  security_id integer PRIMARY KEY REFERENCES securities ON DELETE CASCADE,
  tried_from  date NOT NULL,
  back_to     date CHECK (back_to >= tried_from),
  answered_at timestamptz,
  CHECK ((back_to IS NULL) = (answered_at IS NULL))
);
-- the same for the rates of a currency, which have no calendar: back to when they were asked for
CREATE TABLE rates_asked (
  currency text PRIMARY KEY REFERENCES currencies,
  back_to  date NOT NULL,
  next_at  timestamptz NOT NULL
);
-- what a feed said of one security or currency that could not be taken, or not as it came; goes when it answers well again
CREATE TABLE feed_troubles (
  feed        text NOT NULL,                                       -- empty: none of them knows it
  what        text NOT NULL CHECK (what IN ('quotes', 'bars', 'rates', 'actions', 'profiles', 'unit', 'basis')),
  subject     text NOT NULL,                                       -- EXCHANGE:SYMBOL, or a currency
  security_id integer REFERENCES securities ON DELETE CASCADE,
  said        text NOT NULL,
  first_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  times       integer NOT NULL DEFAULT 1,
  PRIMARY KEY (feed, what, subject)
);
CREATE INDEX feed_troubles_of_security ON feed_troubles (security_id) WHERE security_id IS NOT NULL;

GRANT SELECT ON price_gaps, feed_troubles TO ballast_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON price_gaps, gap_scans, actions_asked, rates_asked, feed_troubles TO ballast_jobs;

-- Who may edit the master may have the gaps of a security asked for at once.
CREATE FUNCTION ask_gaps_again(id integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  n integer;
BEGIN
  IF NOT may('edit') THEN
    RAISE EXCEPTION 'your role may not have prices asked for again' USING ERRCODE = 'insufficient_privilege';
  END IF;
  UPDATE price_gaps SET next_at = NULL WHERE security_id = id;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
REVOKE ALL ON FUNCTION ask_gaps_again(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ask_gaps_again(integer) TO ballast_web;
