"""People on the overview page: each opens a session, reruns it, thinks, reruns it again. Speaks Streamlit's protocol.

`python -m bench.people ADDRESS COOKIE COUNT SECONDS THINK PAUSE` prints one line of JSON: how long each rerun took from
the request to the end of the script, in seconds. First runs are told apart, and reruns count from the time when everybody
has had time to arrive. Sessions stay open until PAUSE seconds after the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

LIMIT = 60.0  # seconds for one rerun
ARRIVING = 0.08  # seconds between two people who open the page
FEW = 10  # so many arrive together


def request(address: str) -> bytes:
    """A full rerun of the front page."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    message.rerun_script.context_info.url = f"{address}/"
    message.rerun_script.context_info.timezone = "Etc/UTC"
    return message.SerializeToString()


async def rerun(socket: ClientConnection, wanted: bytes) -> tuple[float, int]:
    """(seconds, elements drawn) of one rerun."""
    begun, drawn = time.perf_counter(), 0
    await socket.send(wanted)
    while True:
        message = ForwardMsg.FromString(await asyncio.wait_for(socket.recv(decode=False), LIMIT))
        kind = message.WhichOneof("type")
        drawn += kind in ("delta", "ref_hash")
        if kind == "script_finished":
            return time.perf_counter() - begun, drawn


async def person(
    address: str,
    cookie: str,
    since: float,
    until: float,
    think: float,
    found: dict[str, list[float]],
    pause: float,
) -> None:
    """One browser tab."""
    wanted = request(address)
    async with connect(
        address.replace("http", "ws") + "/_stcore/stream",
        additional_headers={"Cookie": cookie},
        origin=address,  # type: ignore[arg-type]
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        compression=None,
        open_timeout=LIMIT,
        ping_interval=None,
    ) as socket:
        found["first"].append((await rerun(socket, wanted))[0])
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * think)
            if time.monotonic() > until and found["rerun"]:  # however slow the machine, one rerun is counted
                break
            counts = time.monotonic() >= since
            took, drawn = await rerun(socket, wanted)
            if not counts:
                continue
            found["rerun"].append(took)
            found["drawn"].append(drawn)
        await asyncio.sleep(max(0.0, until + pause - time.monotonic()))


async def main() -> None:
    """All of them at once; the first runs are spread over the first seconds."""
    address, cookie = sys.argv[1:3]
    count, seconds, think, pause = int(sys.argv[3]), *map(float, sys.argv[4:7])
    found: dict[str, list[float]] = {"first": [], "rerun": [], "drawn": []}
    since = time.monotonic() + (count * ARRIVING + 3 if count > FEW else 0)
    until = since + seconds
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(person(address, cookie, since, until, think, found, pause)))
        await asyncio.sleep(ARRIVING if count > FEW else 0)
    done = await asyncio.wait(tasks, timeout=until - time.monotonic() + pause + LIMIT)
    failed = [repr(t.exception()) for t in done[0] if t.exception()]
    for late in done[1]:
        late.cancel()
    print(json.dumps(found | {"failed": failed, "late": len(done[1])}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
