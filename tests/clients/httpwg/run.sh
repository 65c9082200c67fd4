#!/usr/bin/env bash
# Runs the cases of the crate httpwg against the server at $BASE. ../run.sh describes the output.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cargo test -q --no-run
cargo test --test rfc9113 -- --test-threads=8 2>&1 | tee /dev/stderr |
    sed -nE 's/^test rfc9113::_([0-9])[a-z0-9_]*::([a-z0-9_]+) \.\.\. /\1 \2 /p' |
    while read -r section case outcome; do
        if [[ "$outcome" == ok ]]; then
            echo "ok section $section: $case"
        else
            echo "failed section $section: $case"
        fi
    done
