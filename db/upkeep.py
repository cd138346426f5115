"""What upkeep found: written by its jobs, decided by people, accepted as one tracked task. Nothing else changes the master here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from core import plans, upkeep
from core.adjusted_closes import Day
from core.book import Action
from core.master import DuplicateSymbol, InvalidField, Listed, PlanOutdated, SecurityDraft, StillReferenced
from core.plans import Plan, Step
from core.upkeep import JOBS, KINDS, TOLD, Finding, Kept, checked_job, spoken
from db import books, engine, market, master
from db.access import User
from db.tasks import forget, forgettable, refused
from settings import settings

STATUSES = ("open", "accepted", "dismissed", "superseded")


class NoSuchProposal(LookupError):
    """There is no proposal of this number."""


class ProposalDecided(ValueError):
    """Somebody has decided about a proposal already, or its job no longer finds it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change that a job proposes, and what became of it."""

    proposal_id: UUID
    kind: str
    security_id: int
    symbol: str
    exchange: str
    name: str
    field: str
    before: Any
    after: Any
    why: str
    found_at: datetime
    found_by: str
    status: str
    decided_by: str | None
    decided_at: datetime | None
    note: str
    task_id: UUID | None
    task_status: str | None

    @property
    def told_only(self) -> bool:
        """Whether it is a notice: nothing that a task could carry out."""
        return self.kind in TOLD or (self.kind == "symbol_change" and not self.after.get("symbol"))

    @property
    def listing(self) -> str:
        """EXCHANGE:SYMBOL."""
        return f"{self.exchange}:{self.symbol}"

    def __str__(self) -> str:
        return f"{self.listing} {self.field.replace('_', ' ')}: {spoken(self.before)} → {spoken(self.after)}"


@dataclass(frozen=True, slots=True)
class Look:
    """How a job of upkeep is doing: its last run, and whether somebody asked for the next."""

    job: str
    started_at: datetime | None
    status: str | None
    detail: str | None
    error: str | None
    asked_at: datetime | None  # None: nobody waits for a look


# ── for the jobs ────────────────────────────────────────────────────────────────────────────────────────────


def kept(c: psycopg.Connection) -> list[Kept]:
    """Every security with its master data, and when it was last seen trading; the tracked ones marked."""
    tracked = {s.security_id for s in market.tracked(c)}
    rows = c.execute(
        """SELECT s.security_id, s.symbol, s.exchange, s.name, s.asset_class, d.sector, nullif(d.industry, ''), s.country, s.currency, s.isin,
                  s.dividend_frequency, s.matures_on, s.status, coalesce(y.since, '1900-01-01'), p."on", p.provider
             FROM securities s LEFT JOIN sectors d USING (sector_id)
             LEFT JOIN LATERAL (SELECT max(valid_from) AS since FROM security_symbols y WHERE y.security_id = s.security_id) y ON true
             LEFT JOIN LATERAL (
               SELECT "on", provider FROM (
                 (SELECT "on", provider FROM price_history h WHERE h.security_id = s.security_id ORDER BY "on" DESC LIMIT 1) UNION ALL
                 SELECT (quoted_at AT TIME ZONE 'UTC')::date, provider FROM asset_prices a WHERE a.security_id = s.security_id) seen
                ORDER BY "on" DESC LIMIT 1) p ON true ORDER BY s.security_id"""
    ).fetchall()
    values: list[list[Any]] = [[*row, row[0] in tracked] for row in rows]
    return [Kept(*each) for each in values]


def ex_dates(c: psycopg.Connection) -> dict[int, list[date]]:
    """The ex dates of every security's dividends."""
    rows = c.execute(
        "SELECT security_id, array_agg(ex_on ORDER BY ex_on) FROM corporate_actions WHERE kind = 'dividend' AND amount > 0 GROUP BY 1"
    ).fetchall()
    return {number: list(days) for number, days in rows}


def announced(c: psycopg.Connection, today: date) -> dict[int, date]:
    """Symbol changes that were announced, are due and not yet in the master: their day, by security."""
    rows = c.execute(
        "SELECT a.security_id, max(a.ex_on) FROM corporate_actions a WHERE a.kind = 'symbol_change' AND a.ex_on <= %s AND a.ex_on > "
        "coalesce((SELECT max(valid_from) FROM security_symbols y WHERE y.security_id = a.security_id), '1900-01-01') GROUP BY 1",
        (today,),
    ).fetchall()
    return dict(rows)


def answered(c: psycopg.Connection) -> dict[str, datetime]:
    """When each feed last answered."""
    return dict(c.execute("SELECT feed, last_success_at FROM feed_states WHERE last_success_at IS NOT NULL").fetchall())


def record(
    c: psycopg.Connection, kinds: Iterable[str], examined: Iterable[int], findings: Sequence[Finding]
) -> dict[str, int]:
    """Write what a job found of these kinds for the securities that it could examine; {found, new, superseded}.

    What is found again stays as it is, what is found no more is superseded. What was dismissed is not proposed again with the
    same outcome, nor what a task is just carrying out; of a halt that lasts until another status was accepted: the next is another story.
    """
    rows = json.dumps(
        [{"kind": f.kind, "security_id": f.security_id, "field": f.field, "before": f.before, "after": f.after, "why": f.why, "found_by": f.found_by}
         for f in findings]
    )  # fmt: skip
    given = (
        "WITH found AS (SELECT r ->> 'kind' AS kind, (r ->> 'security_id')::int AS security_id, r ->> 'field' AS field, r -> 'before' AS before, "
        "r -> 'after' AS after, r ->> 'why' AS why, r ->> 'found_by' AS found_by FROM jsonb_array_elements(%(rows)s::jsonb) r) "
    )
    superseded = c.execute(
        given
        + "UPDATE proposals p SET status = 'superseded', decided_at = clock_timestamp() WHERE p.status = 'open' AND p.kind = ANY (%(kinds)s) "
        "AND p.security_id = ANY (%(examined)s) AND NOT EXISTS (SELECT FROM found f WHERE (f.kind, f.security_id, f.field, f.before, f.after) "
        "= (p.kind, p.security_id, p.field, p.before, p.after))",
        {"rows": rows, "kinds": list(kinds), "examined": list(examined)},
    ).rowcount
    new = c.execute(
        given + """INSERT INTO proposals (kind, security_id, field, before, after, why, found_by)
          SELECT kind, security_id, field, before, after, why, found_by FROM found f
           WHERE NOT EXISTS (SELECT FROM proposals p LEFT JOIN tasks t USING (task_id) WHERE (p.kind, p.security_id, p.field) = (f.kind, f.security_id, f.field)
                    AND (p.status = 'open' OR p.after = f.after AND (p.status = 'dismissed' AND NOT (p.kind = 'status' AND EXISTS (
                           SELECT FROM proposals q WHERE (q.kind, q.security_id, q.status) = (p.kind, p.security_id, 'accepted') AND q.decided_at > p.decided_at))
                         OR p.status = 'accepted' AND t.status IN ('waiting', 'queued', 'running'))))""",
        {"rows": rows},
    ).rowcount  # fmt: skip
    return {"found": len(findings), "new": new, "superseded": superseded}


# a look that somebody asked for and that nobody has begun, or whose process died
_STILL_ASKED = (
    "NOT EXISTS (SELECT FROM job_runs d WHERE d.job = a.job AND d.started_at >= a.asked_at AND d.status <> 'abandoned')"
)


def waiting(c: psycopg.Connection, job: str, scheduled: datetime) -> tuple[datetime | None, bool]:
    """(the run of a job that is to be done: one that somebody asked for, or the scheduled one; whether it was asked for)."""
    row = c.execute(
        f"""SELECT (SELECT asked_at FROM upkeep_asked a WHERE job = %(job)s AND {_STILL_ASKED}),
                  NOT EXISTS (SELECT FROM job_runs WHERE job = %(job)s AND scheduled_for >= %(at)s AND status <> 'abandoned')""",
        {"job": job, "at": scheduled},
    ).fetchone()
    assert row is not None
    asked_at, to_do = row
    return asked_at or (scheduled if to_do else None), asked_at is not None


def clean_up(c: psycopg.Connection, task_days: int) -> dict[str, int]:
    """Drop what is kept for a time only: how much of what. `task_days`: how long tasks that have ended are kept."""
    dropped = {what: n for what, _, n in c.execute("SELECT * FROM clean_up()").fetchall()}
    return {**dropped, "tasks": forget(c, task_days)}


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────

_COLUMNS = """p.proposal_id, p.kind, p.security_id, s.symbol, s.exchange, s.name, p.field, p.before, p.after, p.why, p.found_at, p.found_by,
  p.status, u.username AS decided_by, p.decided_at, p.note, p.task_id, t.status AS task_status"""
_FROM = "proposals p JOIN securities s USING (security_id) LEFT JOIN users u ON u.user_id = p.decided_by LEFT JOIN tasks t USING (task_id)"


def proposals(user: User, status: Sequence[str] = ("open",), kind: str | None = None, security: int | None = None, before: UUID | None = None,
              limit: int = 500) -> list[Proposal]:  # fmt: skip
    """Proposals, newest first; `before`: only those older than that one."""
    with engine.session(user.user_id) as c, c.cursor(row_factory=class_row(Proposal)) as cursor:
        return cursor.execute(
            f"""SELECT {_COLUMNS} FROM {_FROM} WHERE (%(status)s::text[] = '{{}}' OR p.status = ANY (%(status)s)) AND (%(kind)s::text IS NULL OR p.kind = %(kind)s)
                   AND (%(security)s::int IS NULL OR p.security_id = %(security)s) AND (%(before)s::uuid IS NULL OR p.proposal_id < %(before)s)
                 ORDER BY p.proposal_id DESC LIMIT %(limit)s""",
            {"status": list(status), "kind": kind, "security": security, "before": before, "limit": limit},
        ).fetchall()


def proposal_of(user: User, proposal: UUID) -> Proposal:
    """One proposal. Raises NoSuchProposal."""
    with engine.session(user.user_id) as c, c.cursor(row_factory=class_row(Proposal)) as cursor:
        found = cursor.execute(f"SELECT {_COLUMNS} FROM {_FROM} WHERE p.proposal_id = %s", (proposal,)).fetchone()
    if found is None:
        raise NoSuchProposal(f"there is no proposal {proposal}")
    return found


def warnings(user: User, securities: Sequence[int]) -> dict[int, str]:
    """In words, of which of these securities it is proposed that they are halted, delisted, matured or renamed."""
    if not securities:
        return {}
    with engine.session(user.user_id) as c:
        rows = c.execute(
            "SELECT security_id, kind, after, why FROM proposals WHERE status = 'open' AND kind IN ('status', 'symbol_change') AND security_id = ANY (%s) "
            "ORDER BY proposal_id",
            (list(securities),),
        ).fetchall()
    return {
        number: f"{why}; {after['status']} is proposed" if kind == "status" else why
        for number, kind, after, why in rows
    }


def looks(user: User) -> list[Look]:
    """Every job of upkeep with its last run."""
    with engine.session(user.user_id) as c, c.cursor(row_factory=class_row(Look)) as cursor:
        return cursor.execute(
            f"""SELECT j.job, r.started_at, r.status, r.detail::text AS detail, r.error,
                      CASE WHEN {_STILL_ASKED} THEN a.asked_at END AS asked_at
                 FROM unnest(%s::text[]) WITH ORDINALITY AS j (job, place) LEFT JOIN upkeep_asked a USING (job)
                 LEFT JOIN LATERAL (SELECT * FROM job_runs r WHERE r.job = j.job ORDER BY started_at DESC LIMIT 1) r ON true ORDER BY place""",
            (list(JOBS),),
        ).fetchall()


def look_now(user: User, job: str) -> None:
    """Ask for a look before its time: the scheduled process begins it within seconds. Raises AccessDenied, InvalidField."""
    checked_job(job)
    with refused(), engine.session(user.user_id) as c:
        c.execute("SELECT ask_upkeep(%s)", (job,))


def would_go(user: User) -> list[tuple[str, str, int]]:
    """(what, why, how many rows) the next clean-up drops."""
    with engine.session(user.user_id) as c:
        found = c.execute("SELECT * FROM would_go()").fetchall()
        days = settings.task_retention_days
        return [*found, ("tasks", f"ended more than {days} days ago", forgettable(c, days))]


def adjusted(user: User) -> list[tuple[int, str, str, str, str | None, list[Day], list[Action]]]:
    """(number, symbol, name, currency, feed, bars, corporate actions) of every security whose feed says adjusted closes."""
    with engine.session(user.user_id) as c:
        rows = c.execute(
            """SELECT s.security_id, s.symbol, s.name, s.currency, max(h.provider), array_agg(h."on" ORDER BY h."on"), array_agg(h.close ORDER BY h."on"),
                      array_agg(h.provider_adjusted ORDER BY h."on")
                 FROM securities s JOIN price_history h USING (security_id)
                 JOIN (SELECT security_id, min("on") AS first FROM price_history WHERE provider_adjusted IS NOT NULL GROUP BY 1) w USING (security_id)
                WHERE h."on" >= w.first GROUP BY 1 ORDER BY 2, 1"""
        ).fetchall()
        actions = books.actions_of(c, [row[0] for row in rows])
    return [
        (
            number,
            symbol,
            name,
            currency,
            feed,
            [Day(*bar) for bar in zip(days, closes, theirs, strict=True)],
            list(actions.get(number, ())),
        )
        for number, symbol, name, currency, feed, days, closes, theirs in rows
    ]


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────────────


def dismiss(user: User, proposal: UUID, why: str) -> None:
    """Say no, and why. Raises AccessDenied, NoSuchProposal, ProposalDecided, InvalidField."""
    note = " ".join(why.split())[:1000]
    if not note:
        raise InvalidField("why", "", "a reason in words: it is kept with the proposal")
    with refused(), engine.session(user.user_id) as c:
        row = c.execute("SELECT dismiss_proposal(%s, %s)", (proposal, note)).fetchone()
    status = row[0] if row else "absent"
    if status == "absent":
        raise NoSuchProposal(f"there is no proposal {proposal}")
    if status != "open":
        raise ProposalDecided(f"the proposal is {status} already")


def accept(user: User, chosen: Sequence[UUID]) -> UUID:
    """Ask for what `plan` shows as one task, and mark the proposals with it; the task's number.

    Raises AccessDenied, DuplicateSymbol and what `plan` raises.
    """
    made = plan(user, chosen)
    ids = list(dict.fromkeys(chosen))
    with refused(), engine.session(user.user_id) as c:
        asked = {"proposals": [str(i) for i in ids], "about": master.about(c, made)}
        try:
            row = c.execute(
                "SELECT accept_proposals(%s, %s, %s, %s, %s, %s, %s, %s)",
                (ids, made.kind, made.title, made.subject, made.security_id, made.claim,
                 json.dumps(asked, default=str), json.dumps(made.as_json())),
            ).fetchone()  # fmt: skip
        except psycopg.errors.UniqueViolation as e:
            raise DuplicateSymbol("symbol", made.claim, "duplicate symbol: another task is just taking it") from e
    if row is None or row[0] is None:
        raise ProposalDecided("somebody has just decided about one of these proposals: look again")
    number: UUID = row[0]
    return number


def plan(user: User, chosen: Sequence[UUID]) -> Plan:
    """The exact rows that accepting these proposals writes, as one plan. Nothing is changed.

    Raises NoSuchProposal, ProposalDecided, PlanOutdated where a field is no longer as the proposal found it, BadSecurity,
    StillReferenced, InvalidField.
    """
    ids = list(dict.fromkeys(chosen))
    if not ids:
        raise InvalidField("ids", "", "the ids of one or more open proposals")
    with engine.session(user.user_id) as c:
        with c.cursor(row_factory=class_row(Proposal)) as cursor:
            found = cursor.execute(
                f"SELECT {_COLUMNS} FROM {_FROM} WHERE p.proposal_id = ANY (%s) ORDER BY p.proposal_id", (ids,)
            ).fetchall()
        if missing := set(ids) - {p.proposal_id for p in found}:
            raise NoSuchProposal(f"there is no proposal {sorted(map(str, missing))[0]}")
        return _Planning(c, user, found).plan()


@dataclass(slots=True)
class _Planning:
    """Proposals on their way into one plan."""

    c: psycopg.Connection
    user: User
    chosen: Sequence[Proposal]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def plan(self) -> Plan:
        exist = master.known_of(self.c)
        cells: dict[int, dict[str, Any]] = {}
        standing: list[Proposal] = []
        renames: list[Proposal] = []
        for p in self.chosen:
            self._still(p)
            if p.kind == "status":
                standing.append(p)
            elif p.kind == "symbol_change":
                renames.append(p)
            else:
                mine = cells.setdefault(p.security_id, {})
                new = upkeep.cells_of(p.field, p.after, self.rows[p.security_id]["asset_class"])
                for name, value in new.items():
                    if name in mine and mine[name] != value:
                        raise InvalidField(
                            name, value, f"of {p.listing} two of the chosen proposals say otherwise: choose one of them"
                        )
                mine |= new
        changes: dict[int, tuple[Mapping[str, Any], SecurityDraft]] = {}
        for number, its in cells.items():
            listed = master.listed(exist, number)
            draft = master.draft_of(exist, master.edited_cells(self.rows[number], its), listed)
            changes[number] = (self.rows[number], draft)
        steps = list(plans.edit_steps(changes, exist.today, self.user.username))
        for p in standing:
            steps += self._standing(p)
        claims = []
        for p in renames:
            renaming = self._renaming(p, master.listed(exist, p.security_id))
            steps += renaming.steps
            claims.append(renaming.claim)
        steps = _joined(steps)
        if not steps:
            raise PlanOutdated("proposal", "", "everything that it proposes is so already")
        ended = [p for p in standing if p.after["status"] in ("delisted", "retired")]
        classified = any(
            {"asset_class", "sector_id"} & set(row) for s in steps if s.table == "securities" for row in s.rows
        )
        kind = "delist" if ended else "symbol_change" if renames else "reclassify" if classified else "edit"
        of = {p.security_id for p in self.chosen}
        one = self.chosen[0]
        about = f"{one.listing} ({one.name})" if len(of) == 1 else f"{len(of)} securities"
        title = str(one) if len(self.chosen) == 1 else f"{len(self.chosen)} proposals of upkeep: {about}"
        notes = tuple(f"{p}. {p.why[:1].upper()}{p.why[1:]}." for p in self.chosen) + tuple(self.notes)
        return Plan(kind, title, one.listing if len(of) == 1 else about, tuple(steps), notes, one.security_id if len(of) == 1 else None,
                    claims[0] if len(claims) == 1 else None)  # fmt: skip

    def _still(self, p: Proposal) -> None:
        """Whether the proposal is open, can be carried out, and the field is as it was found."""
        if p.status != "open":
            raise ProposalDecided(f"{p}: the proposal is {p.status} already")
        if p.told_only:
            raise InvalidField(
                "ids",
                p.proposal_id,
                f"{KINDS[p.kind].lower()} of {p.listing} is a notice: there is nothing to accept, see why and dismiss it",
            )
        row = self.rows.setdefault(p.security_id, master.fields_of(self.c, p.security_id))
        now = (
            {name: plans.plain(row[name]) for name in p.before}
            if isinstance(p.before, dict)
            else plans.plain(row[p.field])
        )
        if now != p.before:
            raise PlanOutdated(
                p.field,
                spoken(now),
                f"of {p.listing} somebody changed it in the meantime: the proposal was found when it was {spoken(p.before)}",
            )

    def _standing(self, p: Proposal) -> tuple[Step, ...]:
        """The steps of a status: retired only where nothing stands in the way, delisted with the day among the corporate actions."""
        row, status, on = self.rows[p.security_id], p.after["status"], p.after.get("on")
        if status == "delisted":
            day = date.fromisoformat(on)
            known = master.delisting_is_known(self.c, p.security_id, day)
            return plans.delisting(p.security_id, p.listing, p.name, row["status"], row["ended_on"], day, known).steps
        if status == "retired":
            in_the_way = [r for r in master.references_of(self.c, p.security_id) if r.prevents]
            if in_the_way:
                raise StillReferenced(p.listing, tuple(str(r) for r in in_the_way))
        if status == "halted":
            self.notes.append(f"Feeds go on being asked for {p.listing}; when it trades again that is proposed, too.")
        was = {"status": row["status"], "ended_on": plans.plain(row["ended_on"])}
        return (upkeep.standing_step(p.security_id, was, status, on),)

    def _renaming(self, p: Proposal, listed: Listed) -> Plan:
        made = master.plan_rename(
            self.user, p.security_id, p.after["symbol"], listed.exchange, date.fromisoformat(p.after["on"])
        )
        self.notes += made.notes
        return made


def _joined(steps: Sequence[Step]) -> list[Step]:
    """Steps of the same name as one."""
    out: dict[tuple[str, str, str], Step] = {}
    for s in steps:
        key = (s.name, s.table, s.action)
        there = out.get(key)
        out[key] = s if there is None else Step(*key, (*there.rows, *s.rows), (*there.before, *s.before))
    return list(out.values())
