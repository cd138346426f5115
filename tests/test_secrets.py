"""No key, token or password is in the repository: every tracked file is read for what looks like one."""

from __future__ import annotations

import math
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

SHAPES = {
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "Alpaca key": r"\b[PA]K[A-Z0-9]{18}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}\b",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{16,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "JWT": r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s:/@\"'`{}<$…]+:(?P<value>[^\s@\"'`{}<$…•]+)@",
}
ASSIGNED = re.compile(
    r"(?i)\b[\w-]*(?:password|passwd|secret|token|api_?key)[\w-]*[\"']?\s*[:=]\s*[\"'](?P<value>[^\"'\s]{8,})[\"']"
)
# Words that stand for a secret, and the demo's own, which is no secret.
ALLOWED = re.compile(r"(?i)^(demo|password|secret|token|user|pass|pw|hush.*|p|pw?d|x+|changeme|example|test.*)$")
HIGH = 3.5  # bits a character; words and names stay below, generated keys above
BINARY = {".png", ".ico", ".woff2", ".woff", ".ttf", ".gz", ".zip", ".parquet", ".jpg", ".pdf"}


def entropy(text: str) -> float:
    """Bits of surprise a character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def findings(text: str) -> list[str]:
    """What in a text looks like a secret, shortened so that the report does not spread it."""
    found = []
    for kind, shape in SHAPES.items():
        for match in re.finditer(shape, text):
            value = match.groupdict().get("value", match[0])
            if not ALLOWED.match(value):
                found.append(f"{kind} {value[:6]}…")
    for match in ASSIGNED.finditer(text):
        value = match["value"]
        if not ALLOWED.match(value) and entropy(value) > HIGH and re.search(r"\d", value):
            found.append(f"assigned {value[:4]}…")
    return found


def tracked() -> list[Path]:
    """The files that git knows, or would know at the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_tracked_file_holds_a_secret() -> None:
    wrong = []
    for path in tracked():
        if not path.is_file() or path.suffix in BINARY or path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{path.relative_to(ROOT)}: {finding}" for finding in findings(text)]
    assert not wrong, "\n".join(wrong)


def test_no_file_of_secrets_is_tracked() -> None:
    names = re.compile(r"(\.env(\..*)?|.*\.pem|.*\.p12|.*\.key|id_(rsa|ed25519)|secrets\.toml|\.pgpass)$")
    assert not [str(path) for path in tracked() if names.fullmatch(path.name) and path.name != ".env.example"]


@pytest.mark.parametrize(
    "text",
    [
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "PK" + "ABCDEFGH1234567890",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NSJ9.abcdefgh",
        "postgresql://anna:" + "Tr0ub4dor@db/ballast",
        "api_key = '" + "9f8Kq2LmZx71VbNw3Rt5'",
        '"client_secret": "' + 'a8f5f167f44f4964e6c998dee827110c"',
    ],
)
def test_a_secret_is_found(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    "text",
    [
        "demo:demo",
        'password = "demo"',
        "postgresql://user:password@host:5432/database",
        "postgresql://ballast:${POSTGRES_PASSWORD:?set it}@db:5432/ballast",
        'token = "session_token_hash"',
        'password: str = Field(min_length=12, description="at least 12 characters")',
    ],
)
def test_no_alarm_is_raised_for_nothing(text: str) -> None:
    assert not findings(text)
