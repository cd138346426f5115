"""Notifications on a page: a person's channels and how they do, a new one, a test of one; for admins what did not arrive."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from core.notices import EVENTS, BadChannel
from db import notices, reports
from db.access import User
from db.notices import Channel, TooMany
from settings import settings
from ui import clock, errors, session, show

EVERY = 0.5  # seconds between two looks at a test
PATIENCE = 20  # seconds before the page says why a test may take so long
WORDS = {
    "completed": "A task is completed",
    "failed": "A task failed",
    "waiting": "A task waits for me",
    "decided": "Mine was approved, rejected or cancelled",
}
SCOPES = {"mine": "My tasks", "all": "Everybody's tasks"}
KINDS = {"webhook": "Webhook", "mail": "Mail"}
UNDELIVERED = ("created_at", "owner", "event", "title", "kind", "target", "attempts", "error")
PHONE = ("created_at", "owner", "error")
ICONS = {"webhook": "webhook", "mail": "mail"}


def mine(user: User) -> None:
    """Channels, each with its state; then the form for one more."""
    st.caption("Hear of tasks without looking: by mail, or as a signed POST to a web address (Standard Webhooks). Nobody else sees your channels' secrets, "
               "and nothing is sent twice for one event, unless the receiver did not say that it arrived.")  # fmt: skip
    if said := st.session_state.pop("notices_said", ""):
        st.success(said, icon=":material/check_circle:")
    _secret()
    found = notices.channels(user)
    if not found:
        st.info("**You have no channel yet.** Add the first one below.", icon=":material/notifications_off:")
    for channel in found:
        _channel(user, channel)
    _new(user)


def _secret() -> None:
    """The secret of a webhook that was just added, until its owner says that it is kept."""
    kept: tuple[str, str] | None = st.session_state.get("notices_secret")
    if kept is None:
        return
    with st.container(border=True, key="b_secret"):
        st.markdown(f"**The secret of** {_code(kept[0])}. Give it to the receiver now: it is not shown again.")
        st.code(kept[1], language=None)
        st.caption("The receiver checks the header `webhook-signature` with it; any library of Standard Webhooks does that.")  # fmt: skip
        if st.button("I have kept it", icon=":material/done:", key="secret_kept"):
            st.session_state.pop("notices_secret", None)
            st.rerun()


def _code(target: str) -> str:
    """An address as text that is no link."""
    return f"`` {target} ``" if "``" not in target else show.plain(target)


def _channel(user: User, channel: Channel) -> None:
    number = channel.channel_id
    with st.container(border=True, key=f"b_channel_{number}"):
        paused = "" if channel.active else " · :orange[:material/pause_circle: paused]"
        whose = "" if channel.scope == "mine" else " · everybody's tasks"
        st.markdown(f":material/{ICONS[channel.kind]}: {_code(channel.target)}{whose}{paused}")
        st.caption(" · ".join(WORDS[e] for e in channel.events))
        st.markdown(_state(channel))
        if not channel.confirmed:
            _confirm(user, channel)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                "Send a test" if channel.confirmed else "Send the code again",
                icon=":material/send:",
                key=f"test_{number}",
            ):
                with errors.told():
                    try:
                        st.session_state[f"notices_test_{number}"] = notices.test(user, number)
                    except TooMany as error:
                        st.warning(f"{show.plain(str(error).capitalize())}.", icon=":material/hourglass_disabled:")
            word, icon = ("Pause", "pause") if channel.active else ("Resume", "play_arrow")
            if st.button(word, icon=f":material/{icon}:", key=f"pause_{number}"):
                _changed(user, number, active=not channel.active)
            with st.popover("Change", icon=":material/edit:", key=f"change_{number}"):
                _edit(user, channel)
            if st.button("Remove", icon=":material/delete:", key=f"remove_{number}", help="What was still to be sent there is dropped."):  # fmt: skip
                with errors.told():
                    notices.remove(user, number)
                    st.session_state["notices_said"] = f"{_code(channel.target)} is removed."
                    st.rerun()
        if (test := st.session_state.get(f"notices_test_{number}")) is not None:
            _tested(test)


def _confirm(user: User, channel: Channel) -> None:
    """The code from the mail, and what was wrong with it."""
    number = channel.channel_id
    with st.container(horizontal=True, vertical_alignment="bottom"):
        code = st.text_input(
            "Code from the mail", max_chars=20, placeholder="3f9a11c2", key=f"code_{number}", width=200
        )
        entered = st.button("Confirm", type="primary", icon=":material/check:", key=f"confirm_{number}")
    if entered:
        with errors.told():
            try:
                notices.confirm(user, number, code)
            except BadChannel as error:
                st.error(f"Code: expected {show.plain(error.expected)}.", icon=":material/error:")
            else:
                st.session_state["notices_said"] = f"{_code(channel.target)} is confirmed."
                st.rerun()


def _state(channel: Channel) -> str:
    """How the last delivery went."""
    if not channel.confirmed and not channel.fails:
        return ":orange[:material/mark_email_unread: Not confirmed yet]: a code was sent there, nothing else is until you enter it"
    if channel.fails and channel.last_failure_at is not None:
        return f":red[:material/error: The last one did not arrive] ({show.moment(channel.last_failure_at)}): {show.plain(channel.last_error)}"
    if channel.last_success_at is not None:
        return f":green[:material/check_circle: The last one arrived] on {show.moment(channel.last_success_at)}"
    return ":gray[:material/schedule: Nothing was sent yet]"


def _tested(number: UUID) -> None:
    """How a test goes, followed until it is known."""

    def look() -> None:
        user = session.user()
        if user is None:
            st.rerun()
        with errors.told():
            try:
                notice = notices.notice(user, number)
            except notices.NoSuchNotice:
                return
            if notice.status == "sent":
                st.success("It arrived.", icon=":material/mark_email_read:")
            elif notice.status == "dead":
                st.error(f"It did not arrive: {show.plain(notice.last_error)}.", icon=":material/error:")
            elif (clock.now() - notice.created_at).total_seconds() > PATIENCE:
                st.warning("It is still to be sent: the scheduled process may not be running.", icon=":material/schedule:")  # fmt: skip
            else:
                st.info("It is being sent …", icon=":material/send:")
            if followed and notice.status != "pending":
                st.rerun()

    user = session.require_user()
    with errors.told():
        try:
            followed = notices.notice(user, number).status == "pending"
        except notices.NoSuchNotice:
            return
        st.fragment(look, run_every=EVERY if followed else None)()


def _edit(user: User, channel: Channel) -> None:
    number = channel.channel_id
    events = st.pills("Tell me when", EVENTS, selection_mode="multi", default=list(channel.events), format_func=WORDS.__getitem__, key=f"events_{number}")  # fmt: skip
    scope = _scope(user, channel.scope, f"scope_{number}")
    if st.button("Save", type="primary", key=f"save_{number}"):
        _changed(user, number, events=events, scope=scope)


def _changed(user: User, number: UUID, **changes: object) -> None:
    with errors.told():
        try:
            notices.change(user, number, **changes)  # type: ignore[arg-type]
        except BadChannel as error:
            st.error(f"{error.field.capitalize()}: expected {show.plain(error.expected)}.", icon=":material/error:")
        else:
            st.rerun()


def _scope(user: User, now: str, key: str) -> str:
    if user.role != "admin":
        return "mine"
    return st.segmented_control("Of", list(SCOPES), default=now, required=True, format_func=SCOPES.__getitem__, key=key)  # type: ignore[no-any-return]


def _new(user: User) -> None:
    """The form for one more channel."""
    st.subheader("Add a channel", anchor=False)
    form: int = st.session_state.setdefault("notices_form", 0)
    kinds = list(KINDS) if settings.smtp_url else ["webhook"]
    kind = st.segmented_control("By", kinds, default="webhook", required=True, format_func=KINDS.__getitem__, key=f"new_kind_{form}")  # fmt: skip
    if "mail" not in kinds:
        st.caption("This installation sends no mail: whoever runs it can set `SMTP_URL`.")
    label, hint = (
        ("Mail address", "anna@example.org") if kind == "mail" else ("Web address", "https://example.org/ballast")
    )
    target = st.text_input(label, max_chars=2000, placeholder=hint, key=f"new_target_{form}_{kind}")
    events = st.pills("Tell me when", EVENTS, selection_mode="multi", default=["completed", "failed", "waiting", "decided"],
                      format_func=WORDS.__getitem__, key=f"new_events_{form}")  # fmt: skip
    scope = _scope(user, "mine", f"new_scope_{form}")
    if not st.button("Add", type="primary", icon=":material/add_alert:", key=f"new_add_{form}"):
        return
    with errors.told():
        try:
            _, secret = notices.add(user, kind, target, events, scope)
        except (BadChannel, TooMany) as error:
            said = f"{label if error.field == 'target' else error.field.capitalize()}: expected {error.expected}" if isinstance(error, BadChannel) else str(error)  # fmt: skip
            st.error(f"{show.plain(said)}.", icon=":material/error:")
            return
        st.session_state["notices_form"] = form + 1
        st.session_state["notices_said"] = f"{_code(target.strip())} is added. Send it a test."
        if secret is not None:
            st.session_state["notices_secret"] = (target.strip(), secret)
        st.rerun()


def undelivered(user: User) -> None:
    """For admins: what was given up, to be sent again."""
    table = reports.answer(user, "undelivered")
    row = show.table(table, key=f"undelivered_{len(table.rows)}", title=True, select=True,
                     only=PHONE if session.on_phone() else UNDELIVERED)  # fmt: skip
    if not table.rows:
        return
    if row is None:
        st.caption("Select a row to send it again.")
    elif st.button("Send again", icon=":material/replay:", key="send_again"):
        with errors.told():
            notices.retry(user, UUID(table.column("notice_id")[row]))
            st.rerun()
