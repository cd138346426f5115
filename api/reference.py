"""The API's reference as one page without scripts, drawn from the OpenAPI description and the list of problems."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

from api.problems import HTTP, PROBLEMS, TOO_MANY, UNEXPECTED

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5b6675;--line:#dce1e7;--back:#fff;--card:#f6f8fa;--accent:#1d5fa8;--get:#1d5fa8;--post:#1f7a4d;
--put:#8a5a00;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#2c3542;--back:#11161d;--card:#181f29;--accent:#7db2ee;--get:#7db2ee;
--post:#6fcf97;--put:#e2b45c;--delete:#f2857c}}
*{box-sizing:border-box}html{scroll-behavior:smooth}@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem 5rem}h1{font-size:1.75rem;margin:0}h2{font-size:1.2rem;margin:2.5rem 0 .5rem;
padding-bottom:.25rem;border-bottom:1px solid var(--line)}p{margin:.4rem 0}a{color:var(--accent)}.soft{color:var(--soft)}
code,pre{font:.875rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}pre{background:var(--card);border:1px solid var(--line);
border-radius:.4rem;padding:.7rem .9rem;overflow-x:auto;margin:.5rem 0}nav{display:flex;flex-wrap:wrap;gap:.35rem 1rem;margin:1rem 0}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;background:var(--back)}details[open]{background:var(--card)}
summary{cursor:pointer;padding:.55rem .8rem;display:flex;flex-wrap:wrap;gap:.2rem .7rem;align-items:baseline}summary::-webkit-details-marker{display:none}
summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}.in{padding:0 .8rem .8rem}.path{overflow-wrap:anywhere}
.m{font:700 .75rem ui-monospace,Menlo,Consolas,monospace;width:4rem}.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}
.delete{color:var(--delete)}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.4rem 0}th,td{text-align:left;vertical-align:top;
padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);font-size:.9rem}th{color:var(--soft);font-weight:600}
"""
CSP = (
    "default-src 'none'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def page(schema: dict[str, Any], root: str) -> str:
    """The reference as HTML; `root` is where the API is mounted."""
    groups: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["Other"])[0]
            groups.setdefault(tag, []).append(_operation(schema, root, path, method, operation))
    names = {tag: f"group-{i}" for i, tag in enumerate(groups)}
    links = "".join(f'<a href="#{names[tag]}">{escape(tag)}</a>' for tag in groups) + '<a href="#problems">Errors</a>'
    body = "".join(f'<h2 id="{names[tag]}">{escape(tag)}</h2>{"".join(items)}' for tag, items in groups.items())
    info = schema["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body><main><h1>{escape(info['title'])}</h1>"
        f"<p>{escape(info.get('description', ''))}</p><p class=soft>OpenAPI {escape(schema['openapi'])}: "
        f'<a href="{escape(root)}/openapi.json">{escape(root)}/openapi.json</a></p>{_example(root)}<nav>{links}</nav>{body}{_problems()}'
        "</main></body></html>"
    )


def _example(root: str) -> str:
    return "<pre>" + escape(
        f"TOKEN=$(curl -s HOST{root}/v1/auth/login -H 'Content-Type: application/json' \\\n"
        "    -d '{\"username\": \"…\", \"password\": \"…\"}' | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])')\n"
        f'curl -s -H "Authorization: Bearer $TOKEN" HOST{root}/v1/reports/holdings?format=csv'
    ) + "</pre>"  # fmt: skip


def _operation(schema: dict[str, Any], root: str, path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{escape(operation.get('description', ''))}</p>"]
    rows = [
        (p["name"], p["in"], _type(p.get("schema", {})), p.get("description", "") + (" (needed)" if p.get("required") else ""))
        for p in operation.get("parameters", [])
        if p["in"] != "cookie"
    ]  # fmt: skip
    if rows:
        parts.append(_rows(("Parameter", "In", "Type", "Meaning"), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p class=soft>Send {escape(media)}: {escape(_type(content['schema']))}</p>")
        parts += [_fields(schema, name, True) for name in _referred(content["schema"])]
    for status, response in operation.get("responses", {}).items():
        if status.startswith("2"):
            for media, content in response.get("content", {}).items():
                parts.append(f"<p class=soft>Answers {status} {escape(media)}: {escape(_type(content['schema']))}</p>")
                parts += [_fields(schema, name) for name in _referred(content["schema"])]
    return (
        f"<details><summary><span class='m {method}'>{method.upper()}</span><code class=path>{escape(root + path)}</code>"
        f"<span class=soft>{escape(operation.get('summary', ''))}</span></summary><div class=in>{''.join(parts)}</div></details>"
    )


def _fields(schema: dict[str, Any], name: str, sent: bool = False) -> str:
    model = schema["components"]["schemas"][name]
    needed = set(model.get("required", ()))
    rows = [
        (field, _type(its), its.get("description", "") + (" (may be left out)" if sent and field not in needed else ""))
        for field, its in model.get("properties", {}).items()
    ]
    return f"<p><code>{escape(name)}</code> {escape(model.get('description', ''))}</p>" + _rows(
        ("Field", "Type", "Meaning"), rows
    )


def _rows(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{h}</th>" for h in head)
    lines = "".join(
        f"<tr><td><code>{escape(row[0])}</code></td>{''.join(f'<td>{escape(x)}</td>' for x in row[1:])}</tr>" for row in rows
    )  # fmt: skip
    return f"<div class=wide><table><tr>{top}</tr>{lines}</table></div>"


def _referred(schema: dict[str, Any]) -> list[str]:
    """The names of the models that a schema speaks of, in order, each once."""
    found = [schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else []
    for part in (*schema.get("anyOf", ()), *([schema["items"]] if isinstance(schema.get("items"), dict) else ())):
        found += _referred(part)
    return list(dict.fromkeys(found))


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(s) for s in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(str(x) for x in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def _problems() -> str:
    kinds = [*PROBLEMS.values(), TOO_MANY, HTTP, UNEXPECTED]
    rows = "".join(
        f'<tr id="{k.slug}"><td>{k.status or "4xx"}</td><td>{escape(k.title)}</td><td>{escape(k.meaning)}</td></tr>' for k in kinds
    )  # fmt: skip
    return (
        "<h2 id=problems>Errors</h2><p>Every error is one <code>application/problem+json</code> with type, title, status, detail and request_id; "
        "where one field is to blame, field, value and expected too.</p>"
        f"<div class=wide><table><tr><th>Status</th><th>Title</th><th>What to do</th></tr>{rows}</table></div>"
    )
