"""The few rules of style that the theme has no setting for. Class names are ours (`b-…`) or a container's key."""

from __future__ import annotations

import html

import streamlit as st

STYLE = """<style>
.b-line{display:flex;flex-wrap:wrap;gap:.15rem .9rem;align-items:baseline;font-size:.93rem;line-height:1.5;font-variant-numeric:tabular-nums}
.b-line b{font-weight:650;font-size:1.02rem}
.b-line span{opacity:.86}
.b-dot{display:inline-block;width:.55em;height:.55em;border-radius:50%;margin-right:.4em;vertical-align:.06em;border:1.5px solid #7C8798}
.b-fresh .b-dot{background:#10B981;border-color:#10B981}
.b-late .b-dot{background:#D97706;border-color:#D97706;border-radius:1px}
.b-closed .b-dot{background:#7C8798}
.b-badge{cursor:help;border-bottom:1px dotted currentColor}
.b-demo{font-size:.82rem;opacity:.8}
[data-testid="stMetricValue"],[data-testid="stMetricDelta"],.b-num{font-variant-numeric:tabular-nums}
div[data-testid="stMetric"]{padding:.6rem .7rem;container-type:inline-size}
div[data-testid="stMetric"]>div{padding:0}
div[data-testid="stMetricValue"]{font-size:clamp(1rem,12cqi,1.3rem)}
div[data-testid="stMetric"] [data-testid="stMarkdownContainer"],div[data-testid="stMetric"] p{white-space:normal;overflow-wrap:anywhere}
button[data-variant="segmented_control"][aria-checked="true"],button[data-variant="segmented_control"][aria-checked="true"] *,[role="tab"][aria-selected="true"],[role="tab"][aria-selected="true"] *{color:inherit!important}
button[data-variant="segmented_control"][aria-checked="true"] p,[role="tab"][aria-selected="true"] p{font-weight:650}
.st-key-b_contents a{padding:.22rem .5rem;margin:0}
div[data-testid="stMainBlockContainer"]{padding-left:clamp(.9rem,2.4vw,2.6rem);padding-right:clamp(.9rem,2.4vw,2.6rem)}
[data-testid="stElementToolbar"] button[aria-label^="Download as CSV"]{display:none}
.b-row{display:flex;flex-wrap:wrap;gap:.25rem 1.2rem;margin:0;font-size:.88rem;font-variant-numeric:tabular-nums}
.b-row div{min-width:0}
.b-row dt{opacity:.78;font-size:.78rem;font-weight:400}
.b-row dd{margin:0;overflow-wrap:anywhere}
.b-who{display:flex;justify-content:space-between;align-items:center;gap:.5rem;font-size:.9rem}
.b-who form,.b-sign form{margin:0}
.b-who button{background:none;border:0;color:inherit;text-decoration:underline;cursor:pointer;font:inherit;padding:.35rem 0}
.b-sign{max-width:23rem;margin:0 auto}
.b-sign label{display:block;font-size:.9rem;margin:.75rem 0 .25rem}
.b-sign input{box-sizing:border-box;width:100%;font:inherit;padding:.55rem .65rem;border:1px solid #8A94A6;border-radius:6px;background:transparent;color:inherit}
.b-sign button{width:100%;font:inherit;font-weight:600;padding:.6rem;margin-top:1rem;border-radius:6px;border:1px solid #2563EB;background:#2563EB;color:#fff;cursor:pointer}
.b-sign button.b-second{background:transparent;color:inherit;border-color:#8A94A6}
.b-sign button:hover{filter:brightness(1.08)}
.b-sign .b-or{text-align:center;font-size:.85rem;margin:1.1rem 0 0;opacity:.8}
.b-sign input:focus-visible,.b-sign button:focus-visible,.b-who button:focus-visible{outline:2px solid #3B82F6;outline-offset:2px}
@media (prefers-reduced-motion:reduce){*{animation-duration:.01ms!important;transition-duration:.01ms!important}}
</style>"""


def style() -> None:
    """Put the rules on the page."""
    st.html(STYLE)


def escape(text: object) -> str:
    """Text as it may stand in HTML."""
    return html.escape(str(text), quote=True)
