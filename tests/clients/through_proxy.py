"""A thousand requests of all kinds through the proxy at $BASE; see run.sh for what is printed."""

import http.client
import json
import threading

from checks import HOST, PORT, same, told

THREADS = 8
ROUNDS = 25
PLAIN = {"Content-Type": "text/plain"}


def ask(connection, method, path, body=None, headers=PLAIN, **options):
    connection.request(method, path, body, headers, **options)
    answer = connection.getresponse()
    return answer.status, answer.read()


def get(connection, tag):
    status, body = ask(connection, "GET", f"/anything?tag={tag}")
    same((status, json.loads(body)["args"]), (200, {"tag": [tag]}))


def post(connection, tag):
    status, body = ask(connection, "POST", "/post", tag * 2000)
    same((status, json.loads(body)["data"]), (200, tag * 2000))


def chunked(connection, tag):
    parts = [tag.encode() * count for count in (1, 100, 3000)]
    headers = PLAIN | {"Transfer-Encoding": "chunked"}
    status, body = ask(connection, "PUT", "/put", iter(parts), headers, encode_chunked=True)
    same((status, json.loads(body)["data"]), (200, tag * 3101))


def streamed(connection, _):
    status, body = ask(connection, "GET", "/stream/10")
    same((status, len(body.splitlines())), (200, 10))


def without_body(connection, _):
    same(ask(connection, "HEAD", "/bytes/1000"), (200, b""))
    same(ask(connection, "GET", "/status/204"), (204, b""))
    same(ask(connection, "GET", "/no/such/thing")[0], 404)


def large(connection, _):
    status, body = ask(connection, "GET", "/bytes/100000")
    same((status, len(body)), (200, 100_000))


KINDS = {
    "GET": get,
    "POST": post,
    "chunked PUT": chunked,
    "an answer in chunks": streamed,
    "answers without a body": without_body,
    "a large answer": large,
}


def main():
    failures = {}

    def work(number):
        connection = http.client.HTTPConnection(HOST, PORT, timeout=20)
        for turn in range(ROUNDS):
            for what, run in KINDS.items():
                try:
                    run(connection, f"{number}-{turn}.")
                except Exception as error:  # told below, once a kind
                    failures.setdefault(what, error)
                    connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for what in KINDS:
        told(what, failures.get(what))


main()
