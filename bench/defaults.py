"""The product's pages with what Streamlit does by default: a collection after every rerun, an unfrozen heap, no answers, no
figures and no messages kept. Started by `bench.product.defaults` to be measured against, never by anybody else.
"""

from __future__ import annotations

import app as ballast
from db import reports
from settings import settings
from ui import charts, show

ballast.warm = lambda: None
reports.KEPT = charts.KEPT = 0
for module, name in ((charts, "_drawn"), (show, "_drawn"), (show, "_data")):
    setattr(module, name, getattr(module, name).__wrapped__)
app = ballast.app

if __name__ == "__main__":
    options = {"server.port": settings.port, "server.address": settings.host, "runner.postScriptGC": True}
    app.run(config=options)
