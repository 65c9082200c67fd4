"""Python's http.client against the server at $BASE; see run.sh for what is printed."""

import http.client
import json
import socket

from checks import HOST, PORT, check, same


def connect():
    return http.client.HTTPConnection(HOST, PORT, timeout=20)


def ask(connection, method, path, body=None, headers=None, **options):
    connection.request(method, path, body, headers or {}, **options)
    answer = connection.getresponse()
    return answer, answer.read()


def kept():
    connection = connect()
    ask(connection, "GET", "/get")
    socket_at_first = connection.sock
    requests = [("GET", "/stream/3", 200), ("GET", "/nothing", 404), ("HEAD", "/bytes/99", 200)]
    requests += [("GET", "/status/204", 204), ("OPTIONS", "/get", 200), ("GET", "/delay/0.05", 200)]
    for method, path, status in requests:
        answer, _ = ask(connection, method, path)
        if (method, status) == ("OPTIONS", 200):
            same(answer.status // 100, 2)
        else:
            same(answer.status, status)
        same(connection.sock is socket_at_first, True)


def posted():
    body = "é" * 50_000
    _, answer = ask(connect(), "POST", "/post", body.encode(), {"Content-Type": "text/plain"})
    same(json.loads(answer)["data"], body)


def chunked():
    connection = connect()
    parts = [b"abc", b"", b"x" * 100_000, b"end"]
    for _ in range(2):
        parts_now = (part for part in parts if part)
        headers = {"Content-Type": "text/plain", "Transfer-Encoding": "chunked"}
        _, answer = ask(connection, "PUT", "/put", parts_now, headers, encode_chunked=True)
        same(json.loads(answer)["data"], b"".join(parts).decode())


def head():
    answer, body = ask(connect(), "HEAD", "/bytes/1000")
    same((answer.status, answer.getheader("content-length"), body), (200, "1000", b""))


def old():
    connection = connect()
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    answer, body = ask(connection, "GET", "/stream/7")
    same((answer.status, len(body.splitlines()), answer.will_close), (200, 7, True))


def piecewise():
    connection = connect()
    connection.request("GET", "/drip?duration=0.3s&delay=0s&numbytes=5")
    answer = connection.getresponse()
    same([answer.read(1) for _ in range(6)], [b"*"] * 5 + [b""])


def half_closed():
    with socket.create_connection((HOST, PORT), timeout=20) as stream:
        stream.sendall(b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
        stream.shutdown(socket.SHUT_WR)
        with stream.makefile("rb") as file:
            same(file.read().startswith(b"HTTP/1.1 200 "), True)


def refused():
    answer, body = ask(connect(), "GET", "/get", None, {"Expect": "miracles"})
    same((answer.status, answer.will_close, bool(body)), (417, True, True))


check("different answers on one connection", kept)
check("POST with a length", posted)
check("chunked PUT, twice on one connection", chunked)
check("HEAD", head)
check("HTTP/1.0 and an answer of unknown length", old)
check("an answer byte by byte", piecewise)
check("an answer after the client's side is closed", half_closed)
check("a refusal can be read", refused)
