-- Notifications: where a person wants to hear of which tasks, and what is to be sent. A notice is made by the transaction that
-- changes its task: none is lost, none is made twice. The scheduled process alone reads secrets, and sends.
CREATE TABLE notice_channels (
  channel_id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id    uuid NOT NULL REFERENCES users,
  kind       text NOT NULL CHECK (kind IN ('mail', 'webhook')),
  target     text NOT NULL CHECK (length(target) BETWEEN 3 AND 2000), -- a mail address, a URL
  secret     text,                                                 -- of webhooks whsec_ and base64: signs what is sent; of mail the code, until it was entered
  confirmed  boolean GENERATED ALWAYS AS (kind = 'webhook' OR secret IS NULL) STORED, -- no mail but the code goes where nobody said that it arrived
  tries      integer NOT NULL DEFAULT 0,                           -- wrong codes
  events     text[] NOT NULL CHECK (events <@ '{completed,failed,waiting,decided}' AND cardinality(events) > 0),
  scope      text NOT NULL CHECK (scope IN ('mine', 'all')),       -- all: of everybody's tasks, for admins
  active     boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_success_at timestamptz,
  last_failure_at timestamptz,
  last_error text NOT NULL DEFAULT '',
  UNIQUE (user_id, kind, target),
  CHECK (secret IS NOT NULL OR kind = 'mail')
);
CREATE TABLE notices (
  notice_id  uuid PRIMARY KEY DEFAULT uuidv7(),
  task_id    uuid REFERENCES tasks ON DELETE CASCADE,              -- null: a test
  channel_id uuid NOT NULL REFERENCES notice_channels ON DELETE CASCADE,
  event      text NOT NULL CHECK (event IN ('completed', 'failed', 'waiting', 'approved', 'rejected', 'cancelled', 'test')),
  payload    jsonb NOT NULL,
  status     text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'dead')),
  attempts   integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  next_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_error text NOT NULL DEFAULT '',
  sent_at    timestamptz,
  UNIQUE (task_id, channel_id, event),
  CHECK ((task_id IS NULL) = (event = 'test')),
  CHECK ((sent_at IS NOT NULL) = (status = 'sent'))
);
CREATE INDEX notices_due ON notices (next_at) WHERE status = 'pending';
CREATE INDEX notices_of_channel ON notices (channel_id, notice_id);

CREATE FUNCTION administers() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS
  $$ SELECT EXISTS (SELECT FROM users WHERE user_id = app_user() AND role = 'admin' AND disabled_at IS NULL) $$;
-- Who may approve what somebody else asks for, where this is the least role for it.
CREATE FUNCTION approvers(its_role text) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT user_id FROM users WHERE disabled_at IS NULL AND role <> 'viewer'
     AND array_position('{viewer,analyst,admin}', role) >= array_position('{viewer,analyst,admin}', its_role) $$;

-- What a change of status is news of, and to whom: nobody is told what they did themselves.
CREATE FUNCTION note_task() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
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
              ELSE n.user_id = NEW.requested_by OR (n.scope = 'all' AND u.role = 'admin') END
     AND n.user_id IS DISTINCT FROM CASE WHEN news = 'cancelled' THEN NEW.cancelled_by WHEN news IN ('approved', 'rejected') THEN NEW.decided_by END
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM pg_notify('ballast_notices', '');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_task AFTER INSERT OR UPDATE OF status ON tasks FOR EACH ROW EXECUTE FUNCTION note_task();

CREATE FUNCTION mail_code() RETURNS text LANGUAGE sql AS $$ SELECT left(gen_random_uuid()::text, 8) $$;
-- A channel of one's own. The secret of a webhook leaves here, once, and nowhere else; the code of a mail address with the first mail to it.
CREATE FUNCTION add_channel(its_kind text, its_target text, its_events text[], its_scope text, OUT id uuid, OUT its_secret text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM users WHERE user_id = app_user() AND disabled_at IS NULL) OR (its_scope = 'all' AND NOT administers()) THEN
    RAISE EXCEPTION 'only admins hear of everybody''s tasks' USING ERRCODE = 'insufficient_privilege';
  ELSIF (SELECT count(*) FROM notice_channels WHERE user_id = app_user()) >= 20 THEN
    RAISE EXCEPTION 'twenty channels are enough: remove one first' USING ERRCODE = 'program_limit_exceeded';
  ELSIF (SELECT count(*) FROM audit_log a JOIN users u ON u.username = a.actor_name WHERE u.user_id = app_user() AND a.entity = 'notice_channels'
            AND a.action = 'inserted' AND a.at > now() - interval '1 hour') >= 40 THEN -- a removed channel takes its mails out of every other count
    RAISE EXCEPTION 'forty new channels within an hour are enough' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  IF its_kind = 'webhook' THEN
    its_secret := 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64');
  END IF;
  INSERT INTO notice_channels (user_id, kind, target, secret, events, scope)
  VALUES (app_user(), its_kind, its_target, coalesce(its_secret, mail_code()), its_events, its_scope) RETURNING channel_id INTO id;
  IF its_kind = 'mail' THEN
    PERFORM test_channel(id);
  END IF;
END $$;
-- 'confirmed', 'wrong', 'spent' after ten wrong codes (the next test brings another), null where there is no such channel
CREATE FUNCTION confirm_channel(its uuid, its_code text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE n notice_channels;
BEGIN
  SELECT * INTO n FROM notice_channels WHERE channel_id = its AND user_id = app_user() FOR UPDATE;
  IF NOT FOUND OR n.confirmed THEN
    RETURN CASE WHEN n.confirmed THEN 'confirmed' END;
  ELSIF n.tries >= 10 THEN
    RETURN 'spent';
  ELSIF n.secret = lower(trim(its_code)) THEN
    UPDATE notice_channels SET secret = NULL WHERE channel_id = its;
    RETURN 'confirmed';
  END IF;
  UPDATE notice_channels SET tries = tries + 1 WHERE channel_id = its;
  RETURN 'wrong';
END $$;
CREATE FUNCTION test_channel(its uuid) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE id uuid;
BEGIN
  UPDATE notice_channels SET secret = mail_code(), tries = 0 WHERE channel_id = its AND user_id = app_user() AND NOT confirmed AND tries >= 10;
  IF NOT EXISTS (SELECT FROM notice_channels WHERE channel_id = its AND user_id = app_user()) THEN
    RETURN NULL;
  ELSIF (SELECT count(*) FROM notices JOIN notice_channels USING (channel_id)
          WHERE user_id = app_user() AND event = 'test' AND notices.created_at > now() - interval '1 hour') >= 20 THEN
    RAISE EXCEPTION 'twenty tests within an hour are enough' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  INSERT INTO notices (channel_id, event, payload) VALUES (its, 'test', jsonb_build_object('at', clock_timestamp(),
    'requested_by', (SELECT username FROM users WHERE user_id = app_user()))) RETURNING notice_id INTO id;
  PERFORM pg_notify('ballast_notices', '');
  RETURN id;
END $$;
-- The status that it had: dead ones are tried again from the start.
CREATE FUNCTION retry_notice(its uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE was text;
BEGIN
  SELECT n.status INTO was FROM notices n JOIN notice_channels c USING (channel_id)
   WHERE n.notice_id = its AND (c.user_id = app_user() OR administers()) FOR UPDATE OF n;
  IF was = 'dead' THEN
    UPDATE notices SET status = 'pending', attempts = 0, next_at = clock_timestamp() WHERE notice_id = its;
    PERFORM pg_notify('ballast_notices', '');
  END IF;
  RETURN was;
END $$;

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['notice_channels', 'notices'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY owner_all ON %I TO ballast_owner USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY jobs_all ON %I TO ballast_jobs USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
CREATE POLICY web_reads ON notice_channels FOR SELECT TO ballast_web USING (user_id = app_user() OR (SELECT administers()));
CREATE POLICY web_changes ON notice_channels FOR UPDATE TO ballast_web
  USING (user_id = app_user()) WITH CHECK (user_id = app_user() AND (scope = 'mine' OR (SELECT administers())));
CREATE POLICY web_removes ON notice_channels FOR DELETE TO ballast_web USING (user_id = app_user());
CREATE POLICY web_reads ON notices FOR SELECT TO ballast_web
  USING (EXISTS (SELECT FROM notice_channels c WHERE c.channel_id = notices.channel_id));
REVOKE ALL ON notice_channels, notices FROM PUBLIC, ballast_web, ballast_jobs;
GRANT SELECT (channel_id, user_id, kind, target, confirmed, events, scope, active, created_at, last_success_at, last_failure_at, last_error),
  UPDATE (events, scope, active), DELETE ON notice_channels TO ballast_web;
GRANT SELECT ON notices TO ballast_web;
GRANT SELECT, UPDATE (active, last_success_at, last_failure_at, last_error) ON notice_channels TO ballast_jobs;
GRANT SELECT, UPDATE, DELETE ON notices TO ballast_jobs;
REVOKE ALL ON FUNCTION administers(), approvers(text), note_task(), add_channel(text, text, text[], text), test_channel(uuid), retry_notice(uuid), mail_code(),
  confirm_channel(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION administers(), approvers(text), add_channel(text, text, text[], text), test_channel(uuid), retry_notice(uuid),
  confirm_channel(uuid, text) TO ballast_web;
SELECT audited('notice_channels', 'tries', 'last_success_at', 'last_failure_at', 'last_error');
