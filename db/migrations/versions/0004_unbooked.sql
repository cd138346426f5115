-- Splits that are booked by a tracked task. Everybody reads tasks; the entries of a portfolio are for those who may read it, so they
-- stand apart: a task of these kinds names neither portfolio nor security, its entries do (docs/decisions/0016).
ALTER TABLE tasks DROP CONSTRAINT tasks_kind_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_kind_check CHECK (kind IN ('add', 'edit', 'remove', 'reinstate', 'symbol_change', 'delist', 'reclassify',
  'bulk', 'restore', 'book_splits', 'reverse_splits'));
CREATE TABLE task_entries (
  portfolio_id   uuid NOT NULL REFERENCES portfolios,
  task_id        uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
  step           smallint NOT NULL,
  n              smallint NOT NULL,                                -- its place within the step
  security_id    integer NOT NULL REFERENCES securities,
  title          text NOT NULL,                                    -- the task as those may read it who may read this
  entry          jsonb NOT NULL,                                   -- the row of the plan, as it was confirmed
  transaction_id uuid,                                             -- what was written: the entry, or the reversal
  PRIMARY KEY (portfolio_id, task_id, step, n)
);
CREATE INDEX task_entries_of_task ON task_entries (task_id);
CREATE INDEX task_entries_of_security ON task_entries (security_id);
SELECT protect('task_entries');
GRANT UPDATE (transaction_id) ON task_entries TO ballast_jobs;
SELECT audited('task_entries');

-- The installation itself, where it acts on its own: nobody can sign in as it. It is among the users once it did anything.
CREATE FUNCTION installation_user() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT '00000000-0000-7000-8000-000000000001'::uuid $$;
CREATE FUNCTION act_as_installation() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO users (user_id, username, display_name, role, disabled_at)
  SELECT installation_user(), CASE WHEN EXISTS (SELECT FROM users WHERE username = 'installation') THEN 'installation ' || gen_random_uuid() ELSE 'installation' END,
         'The installation', 'viewer', now()
   WHERE NOT EXISTS (SELECT FROM users WHERE user_id = installation_user());
  PERFORM set_config('app.user_id', installation_user()::text, true);
END $$;
-- The scheduled process books what a task holds, and nothing but through one.
GRANT INSERT ON transactions TO ballast_jobs;
GRANT UPDATE (version) ON portfolios TO ballast_jobs;

-- The right to book is that of each portfolio: no role takes it, and no policy gives it away; only viewers never have it.
CREATE OR REPLACE FUNCTION right_of(task_kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE task_kind WHEN 'add' THEN 'add' WHEN 'remove' THEN 'remove' WHEN 'reinstate' THEN 'remove' WHEN 'delist' THEN 'remove'
                        WHEN 'bulk' THEN 'bulk' WHEN 'restore' THEN 'bulk' WHEN 'book_splits' THEN 'book' WHEN 'reverse_splits' THEN 'book'
                        ELSE 'edit' END $$;
CREATE OR REPLACE FUNCTION is_allowed(who uuid, its_right text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM users WHERE user_id = who AND disabled_at IS NULL AND role <> 'viewer' AND array_position('{viewer,analyst,admin}', role)
                    >= array_position('{viewer,analyst,admin}', CASE its_right WHEN 'book' THEN 'analyst' ELSE policy() ->> its_right END))
      OR (who = installation_user() AND its_right = 'book') $$;
-- Within the transaction that asks for the task: what it will write, portfolio by portfolio.
CREATE FUNCTION add_task_entries(its_task uuid, its_entries jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM tasks WHERE task_id = its_task AND requested_by = app_user() AND status = 'queued' AND right_of(kind) = 'book')
     OR EXISTS (SELECT FROM task_entries WHERE task_id = its_task) THEN
    RAISE EXCEPTION 'this task takes no entries' USING ERRCODE = 'insufficient_privilege';
  ELSIF app_user() <> installation_user() AND EXISTS (SELECT FROM jsonb_array_elements(its_entries) e WHERE (e ->> 'portfolio_id')::uuid <> ALL (writable())) THEN
    RAISE EXCEPTION 'you may not book in one of these portfolios' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO task_entries (portfolio_id, task_id, step, n, security_id, title, entry)
  SELECT (e ->> 'portfolio_id')::uuid, its_task, (e ->> 'step')::smallint, (e ->> 'n')::smallint, (e ->> 'security_id')::integer, e ->> 'title', e -> 'entry'
    FROM jsonb_array_elements(its_entries) e;
END $$;

-- What a task writes into portfolios, in words, as far as somebody may see it: what a notice of it says to them.
CREATE FUNCTION task_title_for(its_task uuid, reader uuid) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT string_agg(DISTINCT e.title || ' in ' || p.name, '; ') FROM task_entries e JOIN portfolios p USING (portfolio_id)
    JOIN grants g ON g.portfolio_id = e.portfolio_id AND g.user_id = reader WHERE e.task_id = its_task $$;
-- What the installation booked is told to those who manage the portfolios.
CREATE OR REPLACE FUNCTION note_task() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  news constant text := CASE
    WHEN TG_OP = 'UPDATE' AND NEW.status = OLD.status THEN NULL
    WHEN TG_OP = 'INSERT' AND NEW.status = 'completed' THEN NULL -- an import has been told of where it was made
    WHEN NEW.status IN ('completed', 'failed', 'waiting', 'rejected') THEN NEW.status
    WHEN NEW.status = 'queued' AND OLD.status = 'waiting' THEN 'approved'
    WHEN NEW.status = 'cancelled' AND NEW.cancelled_by <> NEW.requested_by THEN 'cancelled' END;
BEGIN
  IF news IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO notices (task_id, channel_id, event, payload)
  SELECT NEW.task_id, n.channel_id, news,
         jsonb_build_object('task_id', NEW.task_id, 'kind', NEW.kind, 'title', NEW.title, 'subject', NEW.subject, 'status', NEW.status,
           'requested_by', (SELECT username FROM users WHERE user_id = NEW.requested_by), 'requested_at', NEW.requested_at,
           'decided_by', (SELECT username FROM users WHERE user_id = NEW.decided_by), 'decision_note', NEW.decision_note,
           'cancelled_by', (SELECT username FROM users WHERE user_id = NEW.cancelled_by),
           'finished_at', NEW.finished_at, 'message', NEW.message, 'error', NEW.error, 'at', clock_timestamp())
    FROM notice_channels n JOIN users u USING (user_id)
   WHERE n.active AND n.confirmed AND u.disabled_at IS NULL
     AND CASE WHEN news IN ('approved', 'rejected', 'cancelled') THEN 'decided' ELSE news END = ANY (n.events)
     AND CASE WHEN news = 'waiting' THEN n.user_id <> NEW.requested_by AND n.user_id IN (SELECT approvers(policy() ->> 'approve'))
              ELSE n.user_id = NEW.requested_by OR (n.scope = 'all' AND u.role = 'admin')
                OR (NEW.requested_by = installation_user() AND EXISTS (SELECT FROM task_entries e JOIN grants g USING (portfolio_id)
                     WHERE e.task_id = NEW.task_id AND g.user_id = n.user_id AND g.access = 'manage')) END
     AND n.user_id IS DISTINCT FROM CASE WHEN news = 'cancelled' THEN NEW.cancelled_by WHEN news IN ('approved', 'rejected') THEN NEW.decided_by END
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM pg_notify('ballast_notices', '');
  END IF;
  RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION installation_user(), act_as_installation(), add_task_entries(uuid, jsonb), task_title_for(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION task_title_for(uuid, uuid) TO ballast_web, ballast_jobs;
GRANT EXECUTE ON FUNCTION installation_user() TO ballast_web, ballast_jobs;
GRANT EXECUTE ON FUNCTION act_as_installation() TO ballast_jobs;
GRANT EXECUTE ON FUNCTION add_task_entries(uuid, jsonb), request_task(text, text, text, integer, text, jsonb, jsonb, uuid) TO ballast_web, ballast_jobs;
