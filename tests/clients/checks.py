"""What the clients in Python share: one line a check, as run.sh counts them."""

import os
import sys
import traceback

BASE = os.environ["BASE"]
HOST, PORT = BASE.removeprefix("http://").split(":")
PORT = int(PORT)


def told(what, error=None):
    if error is None:
        print(f"ok {what}", flush=True)
    else:
        traceback.print_exception(error, file=sys.stderr)
        lines = str(error).splitlines() or [""]
        print(f"failed {what}: {type(error).__name__}: {lines[0]}", flush=True)


def check(what, run):
    try:
        run()
    except Exception as error:  # whatever it is, it is told, and the other checks run
        told(what, error)
    else:
        told(what)


def same(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")
