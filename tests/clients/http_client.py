"""Python's http.client against the server at $BASE. run.sh describes the output."""

import json
import socket

from checks import HOST, PORT, SCHEME, check, connect, same


def send(connection, method, path, body=None, headers=None, **options):
    connection.request(method, path, body, headers or {}, **options)
    response = connection.getresponse()
    return response, response.read()


def keep_alive():
    connection = connect()
    send(connection, "GET", "/get")
    socket_at_first = connection.sock
    requests = [("GET", "/stream/3", 200), ("GET", "/nothing", 404), ("HEAD", "/bytes/99", 200)]
    requests += [("GET", "/status/204", 204), ("OPTIONS", "/get", 200), ("GET", "/delay/0.05", 200)]
    for method, path, status in requests:
        response, _ = send(connection, method, path)
        if (method, status) == ("OPTIONS", 200):
            same(response.status // 100, 2)
        else:
            same(response.status, status)
        same(connection.sock is socket_at_first, True)


def posted():
    body = "é" * 50_000
    _, response = send(connect(), "POST", "/post", body.encode(), {"Content-Type": "text/plain"})
    same(json.loads(response)["data"], body)


def chunked():
    connection = connect()
    parts = [b"abc", b"", b"x" * 100_000, b"end"]
    for _ in range(2):
        parts_now = (part for part in parts if part)
        headers = {"Content-Type": "text/plain", "Transfer-Encoding": "chunked"}
        _, response = send(connection, "PUT", "/put", parts_now, headers, encode_chunked=True)
        same(json.loads(response)["data"], b"".join(parts).decode())


def head():
    response, body = send(connect(), "HEAD", "/bytes/1000")
    same((response.status, response.getheader("content-length"), body), (200, "1000", b""))


def http_1_0():
    connection = connect()
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    response, body = send(connection, "GET", "/stream/7")
    same((response.status, len(body.splitlines()), response.will_close), (200, 7, True))


def piecewise():
    connection = connect()
    connection.request("GET", "/drip?duration=0.3s&delay=0s&numbytes=5")
    response = connection.getresponse()
    same([response.read(1) for _ in range(6)], [b"*"] * 5 + [b""])


def half_closed():
    with socket.create_connection((HOST, PORT), timeout=20) as stream:
        stream.sendall(b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
        stream.shutdown(socket.SHUT_WR)
        with stream.makefile("rb") as file:
            same(file.read().startswith(b"HTTP/1.1 200 "), True)


def refused():
    response, body = send(connect(), "GET", "/get", None, {"Expect": "miracles"})
    same((response.status, response.will_close, bool(body)), (417, True, True))


check("different responses on one connection", keep_alive)
check("POST with a length", posted)
check("chunked PUT, twice on one connection", chunked)
check("HEAD", head)
check("HTTP/1.0 and a response of unknown length", http_1_0)
check("a response byte by byte", piecewise)
if SCHEME == "http":  # the module ssl closes both directions
    check("a response after the client half-closes", half_closed)
check("an error response to an unknown expectation", refused)
