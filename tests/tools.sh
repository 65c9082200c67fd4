# Sourced by the scripts that test with programs of other projects.

has() {
    command -v "$1" > /dev/null
}

# Installs Debian packages, as root or by sudo without a password.
install_packages() {
    local as_root=()
    if [[ "$(id -u)" != 0 ]]; then as_root=(sudo -n); fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends "$@"
}

# Repeats a command until it succeeds, for twenty seconds at most.
until_true() {
    local deadline=$((SECONDS + 20))
    until "$@" > /dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            printf 'gave up waiting for: %s\n' "$*" >&2
            return 1
        fi
        sleep 0.05
    done
}

free_port() {
    python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'
}
