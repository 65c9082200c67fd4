"""Prints how many cases of the Autobahn test suite passed. Fails if one did not.

Usage: autobahn.py INDEX_JSON
"""

import json
import sys

with open(sys.argv[1]) as file:
    cases = json.load(file)["brigade"]
# An informational case tells how an implementation behaves where the standard leaves a choice.
good = {"OK", "INFORMATIONAL"}
failed = [
    f"{number}: {case['behavior']}, {case['behaviorClose']}"
    for number, case in cases.items()
    if case["behavior"] not in good or case["behaviorClose"] not in good
]
print(f"autobahn: {len(cases) - len(failed)} of {len(cases)} cases ok")
if failed or not cases:
    sys.exit("\n".join(failed))
