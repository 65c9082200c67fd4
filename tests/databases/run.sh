#!/usr/bin/env bash
# Starts PostgreSQL and Redis in a temporary directory, and runs the examples postgres and redis and
# the tests of tests/interop against them. Installs both from Debian's packages if they are missing.
#
# Prints `ok NAME` or `failed NAME: REASON` for each check, and totals at the end. Exits with status
# 0 if no check failed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../.."
source tests/tools.sh

target="${CARGO_TARGET_DIR:-$PWD/target}"
work="$(mktemp -d)"
chmod 755 "$work"
passed=0
failed=0
started=()

stop_all() {
    local pid
    if [[ -e "$work/postgres/postmaster.pid" ]]; then stop_postgres fast > /dev/null || true; fi
    for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2> /dev/null || true; done
    rm -rf "$work"
}
trap stop_all EXIT

# check NAME COMMAND...: reports whether a command succeeds.
check() {
    local name="$1"
    shift
    if "$@" > "$work/out" 2>&1; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "failed $name: $(tail -n 3 "$work/out" | tr '\n' ' ')"
        failed=$((failed + 1))
    fi
}

# is STATUS BODY METHOD URL CURL-OPTION...: compares a response.
is() {
    local status="$1" body="$2" method="$3" url="$4" got
    shift 4
    got="$(curl -s -m 15 -o "$work/body" -w '%{http_code}' -X "$method" "$@" "$url")"
    if [[ "$got" != "$status" || "$(cat "$work/body")" != $body ]]; then
        echo "$method $url: expected $status '$body', got $got '$(cat "$work/body")'"
        return 1
    fi
}

# PostgreSQL refuses to run as root.
as_postgres() {
    if [[ "$(id -u)" == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    as_postgres "$postgres/pg_ctl" -D "$work/postgres" -w -l "$work/postgres/log" \
        -o "-p $pg_port -c listen_addresses=127.0.0.1 -k $work/postgres -c fsync=off" start
}

# stop_postgres fast|immediate: ends all connections; `immediate` is like a crash.
stop_postgres() {
    as_postgres "$postgres/pg_ctl" -D "$work/postgres" -m "$1" -w stop
}

query() {
    psql -h 127.0.0.1 -p "$pg_port" -U brigade -d postgres -Atc "$1"
}

start_redis() {
    redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --dir "$work" \
        > "$work/redis.log" 2>&1 &
    redis=$!
    started+=("$redis")
    until_true redis-cli -p "$redis_port" ping
}

# start_example NAME ARGUMENT...: sets `base` to its URL.
start_example() {
    local name="$1"
    shift
    "$target/debug/examples/$name" --listen 127.0.0.1:0 "$@" \
        > "$work/$name.out" 2> "$work/$name.log" &
    started+=($!)
    until_true grep -q listening "$work/$name.out"
    base="$(grep -o 'http://[0-9.:]*' "$work/$name.out")"
}

postgres_bin() {
    find /usr/lib/postgresql -name initdb -printf '%h\n' 2> /dev/null | sort -V | tail -n 1
}

missing=()
if [[ -z "$(postgres_bin)" ]]; then missing+=(postgresql); fi
if ! has redis-server; then missing+=(redis-server); fi
if ! has curl; then missing+=(curl); fi
if ! has python3; then missing+=(python3); fi
if ((${#missing[@]})); then install_packages "${missing[@]}" > "$work/apt.log" 2>&1 ||
    { cat "$work/apt.log" >&2; exit 1; }; fi
postgres="$(postgres_bin)"
cargo build -q -p brigade-examples --example postgres --example redis

pg_port="$(free_port)"
redis_port="$(free_port)"
install -d -m 700 "$work/postgres"
if [[ "$(id -u)" == 0 ]]; then chown postgres "$work/postgres"; fi
as_postgres "$postgres/initdb" -D "$work/postgres" -U brigade --auth=trust -E UTF8 \
    > "$work/initdb.log"
start_postgres > /dev/null
query 'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)' > /dev/null
start_redis

echo "== postgres"
start_example postgres --database "host=127.0.0.1 port=$pg_port user=brigade dbname=postgres"
check "a row is inserted" is 201 1 POST "$base/users" -d Ada
check "a row is found by a prepared statement" is 200 Ada GET "$base/users/1"
check "a missing row is a 404" is 404 '*' GET "$base/users/99"
check "queries are pipelined" is 200 '1 users, from Ada to Ada' GET "$base/summary"
check "a query within its time ends" is 200 slept GET "$base/sleep/0.1"
check "a query that takes too long is a 504" is 504 '*' GET "$base/sleep/60"
no_query_runs() {
    [[ "$(query "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
        AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()")" == 0 ]]
}
check "it is cancelled" until_true no_query_runs
client_leaves() {
    curl -s -m 0.3 "$base/sleep/60" || true
    until_true grep -q 'cancelled a query' "$work/postgres.log"
}
check "the query of a client that leaves is cancelled" client_leaves
check "nothing runs on" until_true no_query_runs
check "the next user gets a sound connection" is 200 Ada GET "$base/users/1"
many() {
    local n
    for n in {1..40}; do echo "url = $base/users/1"; echo "output = $work/many-$n"; done \
        > "$work/many"
    curl -fsS -m 15 --parallel --parallel-max 40 -K "$work/many"
    for n in {1..40}; do [[ "$(cat "$work/many-$n")" == Ada ]]; done
}
check "more requests than connections" many
stop_postgres immediate > /dev/null
check "a killed database is a 503" is 503 '*cannot be reached*' GET "$base/users/1"
start_postgres > /dev/null
check "a restarted database is found again" until_true is 200 Ada GET "$base/users/1"
sessions_are_killed() {
    query "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = 'brigade' AND pid <> pg_backend_pid()" > /dev/null
    until_true is 200 Ada GET "$base/users/1"
}
check "killed sessions are made anew" sessions_are_killed

echo "== redis"
start_example redis --redis "127.0.0.1:$redis_port"
check "a counter counts" until_true is 200 1 POST "$base/counters/visits"
check "it counts on" is 200 2 POST "$base/counters/visits"
curl -sN "$base/channels/news" > "$work/news" &
started+=($!)
publishes() {
    [[ "$(curl -s -m 5 -d "$1" "$base/channels/news")" == '1 loops' ]]
}
check "a channel has a subscriber" until_true publishes first
check "it receives the message" until_true grep -q 'data: \?first' "$work/news"
kill "$redis"
wait "$redis" 2> /dev/null || true
check "without Redis a command is a 503" until_true is 503 '*' POST "$base/counters/visits"
start_redis
check "a restarted Redis is found again" until_true is 200 '[0-9]*' POST "$base/counters/visits"
check "the subscription is made again" until_true publishes second
check "the subscriber hears it" until_true grep -q 'data: \?second' "$work/news"

echo "== libraries"
(
    cd tests/interop
    cargo fmt --check
    export CARGO_TARGET_DIR="$target/interop"
    cargo clippy -q --all-targets -- -D warnings
)
check_library() {
    (
        cd tests/interop
        export CARGO_TARGET_DIR="$target/interop"
        export POSTGRES="127.0.0.1:$pg_port" REDIS="127.0.0.1:$redis_port"
        timeout 600 cargo test -q "$@"
    )
}
for file in tests/interop/tests/*.rs; do
    name="$(basename "$file" .rs)"
    check "$name" check_library --test "$name"
done
check "the examples of docs/interop.md" check_library --doc

echo "$passed passed, $failed failed"
((failed == 0))
