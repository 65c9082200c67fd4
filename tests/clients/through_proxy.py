"""Over 1,000 requests of several kinds through the proxy at $BASE. run.sh describes the output."""

import json
import threading

from checks import connect, report, same

THREADS = 8
ROUNDS = 25
PLAIN = {"Content-Type": "text/plain"}


def send(connection, method, path, body=None, headers=PLAIN, **options):
    connection.request(method, path, body, headers, **options)
    response = connection.getresponse()
    return response.status, response.read()


def get(connection, tag):
    status, body = send(connection, "GET", f"/anything?tag={tag}")
    same((status, json.loads(body)["args"]), (200, {"tag": [tag]}))


def post(connection, tag):
    status, body = send(connection, "POST", "/post", tag * 2000)
    same((status, json.loads(body)["data"]), (200, tag * 2000))


def chunked(connection, tag):
    parts = [tag.encode() * count for count in (1, 100, 3000)]
    headers = PLAIN | {"Transfer-Encoding": "chunked"}
    status, body = send(connection, "PUT", "/put", iter(parts), headers, encode_chunked=True)
    same((status, json.loads(body)["data"]), (200, tag * 3101))


def streamed(connection, _):
    status, body = send(connection, "GET", "/stream/10")
    same((status, len(body.splitlines())), (200, 10))


def without_body(connection, _):
    same(send(connection, "HEAD", "/bytes/1000"), (200, b""))
    same(send(connection, "GET", "/status/204"), (204, b""))
    same(send(connection, "GET", "/no/such/thing")[0], 404)


def large(connection, _):
    status, body = send(connection, "GET", "/bytes/100000")
    same((status, len(body)), (200, 100_000))


KINDS = {
    "GET": get,
    "POST": post,
    "chunked PUT": chunked,
    "a chunked response": streamed,
    "responses without a body": without_body,
    "a large response": large,
}


def main():
    failures = {}

    def work(number):
        connection = connect()
        for turn in range(ROUNDS):
            for kind, run in KINDS.items():
                try:
                    run(connection, f"{number}-{turn}.")
                except Exception as error:  # reported below, once per kind
                    failures.setdefault(kind, error)
                    connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind in KINDS:
        report(kind, failures.get(kind))


main()
