-- Tracked tasks: what somebody asked for, the exact rows that they confirmed, how far it is, how it ended. The web role asks,
-- decides and cancels through functions that look at the person's role; the scheduled process works.
CREATE TABLE tasks (
  task_id      uuid PRIMARY KEY DEFAULT uuidv7(),
  kind         text NOT NULL CHECK (kind IN ('add', 'edit', 'remove', 'reinstate', 'symbol_change', 'delist', 'reclassify', 'bulk', 'restore')),
  title        text NOT NULL,
  subject      text NOT NULL,                                      -- EXCHANGE:SYMBOL, or the name of a file
  security_id  integer,                                            -- no reference: a task outlives a security that it removes
  claim        text,                                               -- a symbol that this task is about to take
  status       text NOT NULL CHECK (status IN ('waiting', 'queued', 'running', 'completed', 'failed', 'cancelled', 'rejected')),
  requested_by uuid NOT NULL REFERENCES users,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  source       text NOT NULL,                                      -- page, api, csv, job
  address      text,
  request_id   text,
  request      jsonb NOT NULL,
  plan         jsonb NOT NULL,
  undoes       uuid REFERENCES tasks,
  four_eyes    boolean NOT NULL DEFAULT false,
  decided_by   uuid REFERENCES users,
  decided_at   timestamptz,
  decision_note text NOT NULL DEFAULT '',
  cancelled_by uuid REFERENCES users,                              -- who asked for it; until the commit it is obeyed
  worker       text,
  attempts     integer NOT NULL DEFAULT 0,
  started_at   timestamptz,
  finished_at  timestamptz,
  message      text NOT NULL DEFAULT '',
  result       jsonb NOT NULL DEFAULT '{}',
  error        jsonb,                                              -- class, field, value, expected, step
  CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled', 'rejected'))),
  CHECK (decided_by <> requested_by)
);
ALTER TABLE tasks ALTER COLUMN plan SET STORAGE EXTENDED;
CREATE UNIQUE INDEX tasks_claims ON tasks (claim) WHERE claim IS NOT NULL AND status IN ('waiting', 'queued', 'running');
CREATE INDEX tasks_open ON tasks (task_id) WHERE status IN ('waiting', 'queued', 'running');
CREATE INDEX tasks_by_key ON tasks (requested_by, (request ->> 'key')) WHERE request ->> 'key' IS NOT NULL;
CREATE INDEX tasks_of_security ON tasks (security_id, task_id DESC) WHERE security_id IS NOT NULL;
CREATE TABLE task_steps (
  task_id     uuid NOT NULL REFERENCES tasks ON DELETE CASCADE,
  n           smallint NOT NULL,
  name        text NOT NULL,
  status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed', 'undone', 'skipped')),
  rows        integer NOT NULL,
  done        integer NOT NULL DEFAULT 0,
  started_at  timestamptz,
  finished_at timestamptz,
  note        text NOT NULL DEFAULT '',
  PRIMARY KEY (task_id, n)
);

-- Who may do what: the least role for each; which kinds wait for a second person.
CREATE FUNCTION policy() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT '{"add": "analyst", "edit": "analyst", "remove": "analyst", "bulk": "analyst", "approve": "admin", "four_eyes": []}'::jsonb
      || coalesce((SELECT value FROM installation WHERE key = 'policy'), '{}') $$;
CREATE FUNCTION right_of(task_kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE task_kind WHEN 'add' THEN 'add' WHEN 'remove' THEN 'remove' WHEN 'reinstate' THEN 'remove' WHEN 'delist' THEN 'remove'
                        WHEN 'bulk' THEN 'bulk' WHEN 'restore' THEN 'bulk' ELSE 'edit' END $$;
-- What a plan needs: the right of its kind; a load or a restore also those of what it writes, which else went around them.
CREATE FUNCTION rights_of(task_kind text, plan jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = public, pg_temp AS $$
  SELECT array_agg(DISTINCT r) FROM (
    SELECT right_of(task_kind)
    UNION ALL
    SELECT CASE s ->> 'action' WHEN 'insert' THEN 'add' WHEN 'delete' THEN 'remove'
             WHEN 'update' THEN CASE WHEN jsonb_path_exists(s, '$.rows[*].status ? (@ == "retired" || @ == "delisted")') THEN 'remove' ELSE 'edit' END END
      FROM jsonb_array_elements(plan -> 'steps') s WHERE task_kind IN ('bulk', 'restore') AND s ->> 'table' = 'securities'
  ) needed (r) WHERE r IS NOT NULL $$;
CREATE FUNCTION is_allowed(who uuid, its_right text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM users WHERE user_id = who AND disabled_at IS NULL AND role <> 'viewer'
                    AND array_position('{viewer,analyst,admin}', role) >= array_position('{viewer,analyst,admin}', policy() ->> its_right)) $$;
CREATE FUNCTION are_allowed(who uuid, rights text[]) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT bool_and(is_allowed(who, r)) FROM unnest(rights) r $$;
CREATE FUNCTION may(its_right text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT is_allowed(app_user(), its_right) $$;
CREATE FUNCTION set_policy(its jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM users WHERE user_id = app_user() AND role = 'admin' AND disabled_at IS NULL) THEN
    RAISE EXCEPTION 'only admins say who may do what' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO installation AS i VALUES ('policy', its) ON CONFLICT (key) DO UPDATE SET value = i.value || EXCLUDED.value;
END $$;
CREATE FUNCTION request_task(its_kind text, its_title text, its_subject text, its_security integer, its_claim text, its_request jsonb, its_plan jsonb,
                             its_undoes uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  id uuid;
  rights text[] := rights_of(its_kind, its_plan);
  second_person boolean := policy() -> 'four_eyes' ?| rights;
BEGIN
  IF NOT are_allowed(app_user(), rights) THEN
    RAISE EXCEPTION 'your role may not %', (SELECT string_agg(r, ', ') FROM unnest(rights) r WHERE NOT may(r)) USING ERRCODE = 'insufficient_privilege';
  ELSIF (its_plan ->> 'kind', its_plan ->> 'claim', its_plan ->> 'security_id') IS DISTINCT FROM (its_kind, its_claim, its_security::text) THEN
    RAISE EXCEPTION 'the plan is of another kind, symbol or security' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO tasks (kind, title, subject, security_id, claim, status, requested_by, source, address, request_id, request, plan, undoes, four_eyes)
  VALUES (its_kind, its_title, its_subject, its_security, its_claim, CASE WHEN second_person THEN 'waiting' ELSE 'queued' END, app_user(),
          coalesce(nullif(current_setting('app.source', true), ''), 'page'), nullif(current_setting('app.address', true), ''),
          nullif(current_setting('app.request_id', true), ''), its_request, its_plan, its_undoes, second_person)
  RETURNING task_id INTO id;
  INSERT INTO task_steps (task_id, n, name, rows)
  SELECT id, s.n - 1, s.step ->> 'name', coalesce((s.step ->> 'count')::int, jsonb_array_length(s.step -> 'rows'))
    FROM jsonb_array_elements(its_plan -> 'steps') WITH ORDINALITY AS s (step, n);
  PERFORM pg_notify('ballast_tasks', id::text);
  RETURN id;
END $$;
CREATE FUNCTION decide_task(id uuid, approved boolean, its_note text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  task tasks;
BEGIN
  SELECT * INTO task FROM tasks WHERE task_id = id FOR UPDATE;
  IF NOT may('approve') THEN
    RAISE EXCEPTION 'your role may not approve' USING ERRCODE = 'insufficient_privilege';
  ELSIF task.requested_by = app_user() THEN
    RAISE EXCEPTION 'four eyes: somebody else must decide what you asked for' USING ERRCODE = 'insufficient_privilege';
  ELSIF task.status IS DISTINCT FROM 'waiting' THEN
    RETURN coalesce(task.status, 'absent');
  ELSIF approved AND NOT are_allowed(task.requested_by, rights_of(task.kind, task.plan)) THEN
    RAISE EXCEPTION 'who asked for it may not do so any more: reject it, and have somebody else ask' USING ERRCODE = 'insufficient_privilege';
  END IF;
  UPDATE tasks SET status = CASE WHEN approved THEN 'queued' ELSE 'rejected' END, decided_by = app_user(), decided_at = clock_timestamp(),
         decision_note = its_note, finished_at = CASE WHEN NOT approved THEN clock_timestamp() END,
         message = CASE WHEN approved THEN '' ELSE 'Rejected: nothing was changed' END WHERE task_id = id;
  UPDATE task_steps SET status = 'skipped' WHERE task_id = id AND NOT approved;
  PERFORM pg_notify('ballast_tasks', id::text);
  RETURN 'waiting';
END $$;
CREATE FUNCTION cancel_task(id uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  task tasks;
BEGIN
  SELECT * INTO task FROM tasks WHERE task_id = id FOR UPDATE;
  IF task.requested_by IS DISTINCT FROM app_user()
     AND NOT EXISTS (SELECT FROM users WHERE user_id = app_user() AND role = 'admin' AND disabled_at IS NULL) THEN
    RAISE EXCEPTION 'only who asked for it, or an admin, cancels a task' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF task.status IN ('waiting', 'queued') THEN
    UPDATE tasks SET status = 'cancelled', cancelled_by = app_user(), finished_at = clock_timestamp(), message = 'Cancelled: nothing was changed' WHERE task_id = id;
    UPDATE task_steps SET status = 'skipped' WHERE task_id = id;
  ELSIF task.status = 'running' THEN
    UPDATE tasks SET cancelled_by = app_user() WHERE task_id = id;
  END IF;
  PERFORM pg_notify('ballast_tasks', id::text);
  RETURN coalesce(task.status, 'absent');
END $$;

-- A security that a file of transactions names, added with the bookings in their transaction; among the tasks it is one that is completed.
-- NULL: another security has its symbol there.
DROP FUNCTION propose_security(text, text, text, text, text, text);
CREATE FUNCTION propose_security(its_plan jsonb, its_about jsonb, its_file text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  it securities := jsonb_populate_record(NULL::securities, its_plan #> '{steps,0,rows,0}');
  id integer;
  task uuid;
BEGIN
  IF NOT may('add') THEN
    RAISE EXCEPTION 'your role may not add securities' USING ERRCODE = 'insufficient_privilege';
  ELSIF policy() -> 'four_eyes' ? 'add' THEN
    RAISE EXCEPTION 'a second person approves every new security: add it under Securities first' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO securities (symbol, exchange, name, isin, currency, asset_class)
  VALUES (it.symbol, it.exchange, it.name, it.isin, it.currency, it.asset_class)
  ON CONFLICT (exchange, symbol) DO NOTHING RETURNING security_id INTO id;
  IF id IS NULL THEN  -- somebody was faster: the same security, or another one under this symbol
    SELECT security_id INTO id FROM securities
     WHERE symbol = it.symbol AND exchange = it.exchange AND currency = it.currency AND (isin IS NULL OR it.isin IS NULL OR isin = it.isin);
    RETURN id;
  END IF;
  INSERT INTO security_symbols (security_id, valid_from, symbol, exchange)
  VALUES (id, coalesce((its_plan #>> '{steps,1,rows,0,valid_from}')::date, '1900-01-01'), it.symbol, it.exchange);
  INSERT INTO security_classifications (security_id, asset_class, source) VALUES (id, it.asset_class, 'import');
  UPDATE data_versions SET version = version + 1, updated_at = clock_timestamp() WHERE name = 'securities';
  INSERT INTO tasks (kind, title, subject, security_id, status, requested_by, source, address, request_id, request, plan, started_at, finished_at, message, result)
  VALUES ('add', its_plan ->> 'title', it.exchange || ':' || it.symbol, id, 'completed', app_user(), coalesce(nullif(current_setting('app.source', true), ''), 'page'),
          nullif(current_setting('app.address', true), ''), nullif(current_setting('app.request_id', true), ''),
          jsonb_build_object('about', its_about, 'file', its_file), its_plan, clock_timestamp(), clock_timestamp(),
          it.exchange || ':' || it.symbol || ' was added with the import of ' || its_file,
          jsonb_build_object('security_id', id, 'rows', jsonb_array_length(its_plan -> 'steps')))
  RETURNING task_id INTO task;
  INSERT INTO task_steps (task_id, n, name, status, rows, done, started_at, finished_at)
  SELECT task, s.n - 1, s.step ->> 'name', 'completed', jsonb_array_length(s.step -> 'rows'), jsonb_array_length(s.step -> 'rows'), clock_timestamp(), clock_timestamp()
    FROM jsonb_array_elements(its_plan -> 'steps') WITH ORDINALITY AS s (step, n);
  RETURN id;
END $$;
REVOKE ALL ON FUNCTION propose_security(jsonb, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION propose_security(jsonb, jsonb, text) TO ballast_web;
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['tasks', 'task_steps'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY owner_all ON %I TO ballast_owner USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY jobs_all ON %I TO ballast_jobs USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY web_reads ON %I FOR SELECT TO ballast_web USING (app_user() IS NOT NULL)', t);
    EXECUTE format('GRANT SELECT ON %I TO ballast_web', t);
    EXECUTE format('GRANT SELECT, UPDATE, DELETE ON %I TO ballast_jobs', t);
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION policy(), right_of(text), rights_of(text, jsonb), is_allowed(uuid, text), are_allowed(uuid, text[]), may(text), set_policy(jsonb), decide_task(uuid, boolean, text), cancel_task(uuid),
  request_task(text, text, text, integer, text, jsonb, jsonb, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy(), right_of(text), may(text), set_policy(jsonb), decide_task(uuid, boolean, text), cancel_task(uuid),
  request_task(text, text, text, integer, text, jsonb, jsonb, uuid) TO ballast_web;
GRANT EXECUTE ON FUNCTION policy(), right_of(text), rights_of(text, jsonb), are_allowed(uuid, text[]) TO ballast_jobs;
SELECT audited('tasks', 'worker', 'attempts', 'started_at', 'plan', 'request'); -- who asked, decided, cancelled, and how it ended
