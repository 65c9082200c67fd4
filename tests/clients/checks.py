"""Shared by the clients in Python. Prints one line per check, which run.sh counts."""

import http.client
import os
import sys
import traceback

BASE = os.environ["BASE"]
SCHEME, ADDRESS = BASE.split("://")
HOST, PORT = ADDRESS.split(":")
PORT = int(PORT)


def connect():
    """Over TLS, the authorities are those of the variable SSL_CERT_FILE."""
    kind = http.client.HTTPSConnection if SCHEME == "https" else http.client.HTTPConnection
    return kind(HOST, PORT, timeout=20)


def report(name, error=None):
    if error is None:
        print(f"ok {name}", flush=True)
    else:
        traceback.print_exception(error, file=sys.stderr)
        lines = str(error).splitlines() or [""]
        print(f"failed {name}: {type(error).__name__}: {lines[0]}", flush=True)


def check(name, run):
    try:
        run()
    except Exception as error:  # any error fails this check, and the others still run
        report(name, error)
    else:
        report(name)


def same(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")
