"""aiohttp against the server at $BASE. run.sh describes the output."""

import asyncio

import aiohttp

from checks import BASE, report, same


async def many(session, counts):
    async def one(number):
        async with session.get(f"{BASE}/delay/0.05?n={number}") as response:
            same(response.status, 200)
            same((await response.json())["args"], {"n": [str(number)]})

    await asyncio.gather(*(one(number) for number in range(200)))
    same(counts["new"] <= 20, True)
    same(counts["reused"] >= 180, True)


async def streamed(session, _):
    async def parts():
        for _ in range(50):
            yield b"y" * 10_000
            await asyncio.sleep(0)

    headers = {"Content-Type": "text/plain"}
    async with session.post(f"{BASE}/post", data=parts(), headers=headers) as response:
        same((await response.json())["data"], "y" * 500_000)


async def expecting(session, _):
    headers = {"Content-Type": "text/plain"}
    for _ in range(2):
        async with session.post(
            f"{BASE}/post", data=b"z" * 700_000, expect100=True, headers=headers
        ) as response:
            same(len((await response.json())["data"]), 700_000)


async def events(session, _):
    async with session.get(f"{BASE}/sse?count=5&duration=100ms") as response:
        same(response.content_type, "text/event-stream")
        lines = [line async for line in response.content]
        same(sum(line.startswith(b"event: ping") for line in lines), 5)


async def abandoned(session, _):
    for _ in range(10):
        try:
            async with session.get(f"{BASE}/delay/9", timeout=aiohttp.ClientTimeout(total=0.02)):
                raise AssertionError("the response came before the timeout")
        except asyncio.TimeoutError:
            pass
    async with session.get(f"{BASE}/get") as response:
        same(response.status, 200)


async def form(session, _):
    data = aiohttp.FormData({"a": "b"})
    data.add_field("upload", b"content", filename="file.txt")
    async with session.post(f"{BASE}/post", data=data) as response:
        document = await response.json()
        same((document["form"], document["files"]), ({"a": ["b"]}, {"upload": ["content"]}))


async def main():
    checks = {
        "200 delays on 20 reused connections": many,
        "a chunked body from a generator": streamed,
        "expect100": expecting,
        "server-sent events": events,
        "requests that time out at the client": abandoned,
        "a form with a file": form,
    }
    for name, run in checks.items():
        counts = {"new": 0, "reused": 0}
        trace = aiohttp.TraceConfig()

        async def count(_session, _context, params, counts=counts):
            counts["new" if "Create" in type(params).__name__ else "reused"] += 1

        trace.on_connection_create_end.append(count)
        trace.on_connection_reuseconn.append(count)
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
            try:
                await asyncio.wait_for(run(session, counts), 20)
            except Exception as error:  # any error fails this check, and the others still run
                report(name, error)
            else:
                report(name)


asyncio.run(main())
