"""The Python package websockets as a client of the example websocket_echo, over TLS.

Usage: client.py wss://HOST:PORT/echo, with the authorities in SSL_CERT_FILE.
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect

URL = sys.argv[1]


def open_socket():
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return connect(URL, ssl=context, max_size=None, compression=None)


async def messages():
    async with open_socket() as socket:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            for message in ("x" * size, bytes(size)):
                await socket.send(message)
                assert await socket.recv() == message


async def fragments():
    async with open_socket() as socket:
        await socket.send(["one, ", "two, ", "three"])
        assert await socket.recv() == "one, two, three"


async def pings():
    async with open_socket() as socket:
        await (await socket.ping(b"there?"))


async def many():
    sockets = await asyncio.gather(*(open_socket() for _ in range(50)))
    await asyncio.gather(*(socket.send(f"message {n}") for n, socket in enumerate(sockets)))
    for n, socket in enumerate(sockets):
        assert await socket.recv() == f"message {n}"
        await socket.close(1000, "enough")
        assert (socket.close_code, socket.close_reason) == (1000, "enough")


async def main():
    for part in (messages, fragments, pings, many):
        await part()
        print(f"websockets: {part.__name__} ok")


asyncio.run(main())
