-- Backups of the security master: one before every bulk write, in the same transaction, so that it is there exactly when the write is.
CREATE TABLE backups (
  backup_id uuid PRIMARY KEY DEFAULT uuidv7(),
  taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  taken_by  uuid REFERENCES users,
  task_id   uuid,                                                  -- no reference: a backup outlives its task
  what      text NOT NULL,                                         -- before what it was taken
  rows      jsonb NOT NULL,                                        -- how many, by table
  content   bytea NOT NULL,                                        -- gzip of JSON lines, see db.backups
  sha256    text NOT NULL,                                         -- of content
  bytes     integer NOT NULL
);
ALTER TABLE backups ALTER COLUMN content SET STORAGE EXTERNAL;     -- it is compressed already
CREATE INDEX backups_of_task ON backups (task_id) WHERE task_id IS NOT NULL;
ALTER TABLE backups ENABLE ROW LEVEL SECURITY;
ALTER TABLE backups FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON backups TO ballast_owner USING (true) WITH CHECK (true);
CREATE POLICY jobs_all ON backups TO ballast_jobs USING (true) WITH CHECK (true);
CREATE POLICY web_reads ON backups FOR SELECT TO ballast_web
  USING (EXISTS (SELECT FROM users u WHERE u.user_id = app_user() AND u.role <> 'viewer'));
GRANT SELECT ON backups TO ballast_web;
GRANT SELECT, INSERT, DELETE ON backups TO ballast_jobs;
GRANT DELETE ON sectors TO ballast_jobs;
GRANT UPDATE ON counterparties TO ballast_jobs;

-- Which of these securities anything refers to, and what (a table), whoever may see it: every reference that the catalogue knows
-- except what is a security's own.
CREATE FUNCTION referring_to(ids integer[]) RETURNS TABLE (security_id integer, its_table text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  own constant text[] := '{security_symbols,security_classifications,asset_prices,price_history,price_arrays,corporate_actions,security_matches}';
  refers record;
BEGIN
  FOR refers IN
    SELECT c.conrelid::regclass::text AS source, a.attname AS named FROM pg_constraint c
      JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
     WHERE c.contype = 'f' AND c.confrelid = 'securities'::regclass AND c.confdeltype IN ('a', 'r') AND c.conrelid::regclass::text <> ALL (own) ORDER BY 1, 2
  LOOP
    RETURN QUERY EXECUTE format('SELECT DISTINCT %2$I, %1$L FROM %1$I WHERE %2$I = ANY ($1)', refers.source, refers.named) USING ids;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION referring_to(integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION referring_to(integer[]) TO ballast_web, ballast_jobs;
