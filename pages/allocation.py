"""Allocation: how the value is spread over asset classes, sectors, countries and currencies."""

from ui import charts, explain, frame, scope, show, unbooked

here = frame.page("Allocation")
unbooked.warn(here)

scope.by_control(here)
groups, positions = here.answer("allocation"), here.answer("allocation_positions")
by = scope.GROUP_TITLES[here.scope.by].lower()
charts.show(
    charts.treemap(groups, positions),
    positions,
    key="treemap",
    here=here,
    title=charts.spread_title(groups, by),
    alt=f"Treemap of the positions by {by}: size is value, colour is the change of the day.",
)
explain.hint()
explain.table(here, groups, key="groups")
show.notes(groups)
charts.show(
    charts.shares(groups, "group"),
    groups,
    key="shares",
    here=here,
    title=f"Shares by {by}",
    alt=f"Bars: share of each {by} in the value; the table above has the figures.",
)
show.explain("allocation")
