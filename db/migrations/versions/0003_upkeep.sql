-- What upkeep finds and proposes; nothing is changed until somebody accepts it, and then by a tracked task (0003_tasks.sql).
CREATE TABLE proposals (
  proposal_id uuid PRIMARY KEY DEFAULT uuidv7(),
  kind        text NOT NULL CHECK (kind IN ('reclassify', 'asset_class', 'status', 'symbol_change', 'adjusted_close')),
  security_id integer NOT NULL REFERENCES securities ON DELETE CASCADE,
  field       text NOT NULL,
  before      jsonb NOT NULL,
  after       jsonb NOT NULL,
  why         text NOT NULL,
  found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  found_by    text NOT NULL,                                       -- the feed, or the rule's job
  status      text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'accepted', 'dismissed', 'superseded')),
  decided_by  uuid REFERENCES users,                               -- null where superseded: the job no longer finds it
  decided_at  timestamptz,
  note        text NOT NULL DEFAULT '',
  task_id     uuid REFERENCES tasks ON DELETE SET NULL,
  CHECK ((status = 'open') = (decided_at IS NULL))
);
CREATE UNIQUE INDEX proposals_open ON proposals (security_id, kind, field) WHERE status = 'open';
CREATE INDEX proposals_of_security ON proposals (security_id, kind, field, proposal_id DESC);
CREATE INDEX proposals_of_task ON proposals (task_id) WHERE task_id IS NOT NULL;
-- who asked for a look before its time: the job's next run
CREATE TABLE upkeep_asked (
  job      text PRIMARY KEY CHECK (job IN ('reclassify', 'verify_classes', 'listings', 'adjusted_closes', 'housekeeping')),
  asked_at timestamptz NOT NULL,
  asked_by uuid NOT NULL REFERENCES users
);
ALTER TABLE price_history ADD COLUMN provider_adjusted numeric(28,10) CHECK (provider_adjusted > 0); -- as its feed last said, for the window of adjusted_closes

-- Several at once are one task: all of them are still open and theirs now, or none is.
CREATE FUNCTION accept_proposals(ids uuid[], its_kind text, its_title text, its_subject text, its_security integer, its_claim text,
                                 its_request jsonb, its_plan jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  task uuid;
BEGIN
  PERFORM FROM proposals WHERE proposal_id = ANY (ids) AND status = 'open' ORDER BY proposal_id FOR UPDATE;
  IF (SELECT count(*) FROM proposals WHERE proposal_id = ANY (ids) AND status = 'open') <> cardinality(ids) THEN
    RETURN NULL;
  END IF;
  task := request_task(its_kind, its_title, its_subject, its_security, its_claim, its_request, its_plan, NULL);  -- asks the role
  UPDATE proposals SET status = 'accepted', decided_by = app_user(), decided_at = clock_timestamp(), task_id = task WHERE proposal_id = ANY (ids);
  RETURN task;
END $$;
CREATE FUNCTION dismiss_proposal(id uuid, its_note text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  was text;
BEGIN
  IF NOT may('edit') THEN
    RAISE EXCEPTION 'your role may not decide about proposals' USING ERRCODE = 'insufficient_privilege';
  END IF;
  SELECT status INTO was FROM proposals WHERE proposal_id = id FOR UPDATE;
  UPDATE proposals SET status = 'dismissed', decided_by = app_user(), decided_at = clock_timestamp(), note = its_note
   WHERE proposal_id = id AND status = 'open';
  RETURN coalesce(was, 'absent');
END $$;
CREATE FUNCTION ask_upkeep(its_job text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT may('edit') THEN
    RAISE EXCEPTION 'your role may not start upkeep' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO upkeep_asked VALUES (its_job, clock_timestamp(), app_user())
  ON CONFLICT (job) DO UPDATE SET asked_at = EXCLUDED.asked_at, asked_by = EXCLUDED.asked_by;
END $$;

-- What is kept for a time only: counted for anybody, or dropped by the scheduled process, by one and the same condition.
CREATE FUNCTION kept_for_a_time(really boolean) RETURNS TABLE (what text, why text, n bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  kept record;
BEGIN
  FOR kept IN SELECT * FROM (VALUES
    ('runs', 'job_runs', 'older than 30 days, without a dead letter; rounds of quotes after a day',
     $c$NOT EXISTS (SELECT FROM dead_letters d WHERE d.run_id = t.run_id) AND (started_at < now() - interval '30 days'
        OR (job IN ('quotes', 'restate') AND status = 'succeeded' AND started_at < now() - interval '24 hours'))$c$),
    ('sign_ins', 'sessions', 'ran out', $c$expires_at < now()$c$),
    ('sign_in_failures', 'sign_in_failures', 'older than a day', $c$at < now() - interval '1 day'$c$),
    ('notices', 'notices', 'older than 90 days', $c$created_at < now() - interval '90 days'$c$),
    ('lookups', 'lookups', 'older than a day', $c$asked_at < now() - interval '1 day'$c$),
    ('backups', 'backups', 'older than 90 days, and not of the newest 20', $c$taken_at < now() - interval '90 days'
        AND backup_id NOT IN (SELECT b.backup_id FROM backups b ORDER BY b.backup_id DESC LIMIT 20)$c$),
    ('proposals', 'proposals', 'decided or no longer found for 400 days; what was dismissed stays', $c$status IN ('accepted', 'superseded') AND decided_at < now() - interval '400 days'$c$),
    ('import_maps', 'import_maps', 'of somebody who may no longer sign in', $c$user_id IN (SELECT u.user_id FROM users u WHERE u.disabled_at IS NOT NULL)$c$),
    ('security_matches', 'security_matches', 'of somebody who may no longer sign in', $c$user_id IN (SELECT u.user_id FROM users u WHERE u.disabled_at IS NOT NULL)$c$)
  ) AS x (what, its_table, why, condition) WHERE to_regclass(its_table) IS NOT NULL LOOP
    what := kept.what;
    why := kept.why;
    IF really THEN
      EXECUTE format('DELETE FROM %I t WHERE %s', kept.its_table, kept.condition);
      GET DIAGNOSTICS n = ROW_COUNT;
    ELSE
      EXECUTE format('SELECT count(*) FROM %I t WHERE %s', kept.its_table, kept.condition) INTO n;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

CREATE FUNCTION would_go() RETURNS TABLE (what text, why text, n bigint) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
  $$ SELECT * FROM kept_for_a_time(false) WHERE app_user() IS NOT NULL $$;
CREATE FUNCTION clean_up() RETURNS TABLE (what text, why text, n bigint) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
  $$ SELECT * FROM kept_for_a_time(true) $$;

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['proposals', 'upkeep_asked'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY owner_all ON %I TO ballast_owner USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY jobs_all ON %I TO ballast_jobs USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY web_reads ON %I FOR SELECT TO ballast_web USING (app_user() IS NOT NULL)', t);
    EXECUTE format('GRANT SELECT ON %I TO ballast_web, ballast_jobs', t);
  END LOOP;
END $$;
GRANT INSERT, UPDATE ON proposals TO ballast_jobs;
REVOKE ALL ON FUNCTION accept_proposals(uuid[], text, text, text, integer, text, jsonb, jsonb), dismiss_proposal(uuid, text), ask_upkeep(text),
  kept_for_a_time(boolean), would_go(), clean_up() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accept_proposals(uuid[], text, text, text, integer, text, jsonb, jsonb), dismiss_proposal(uuid, text), ask_upkeep(text),
  would_go() TO ballast_web;
GRANT EXECUTE ON FUNCTION clean_up() TO ballast_jobs;
SELECT audited_by_people('proposals');                              -- who decided; what the jobs find is their runs' to tell
