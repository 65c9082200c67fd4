#!/usr/bin/env bash
# Makes certificates in the folder $1: two authorities, certificates of localhost by the first one
# (first.pem and second.pem), and one of a client. The server uses served.pem and served.key, a proxy
# front.pem.
set -euo pipefail
cd "$1"

# authority NAME: makes NAME.pem and NAME.key.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj "/CN=$1" -addext keyUsage=critical,keyCertSign -keyout "$1.key" -out "$1.pem"
}

# certificate NAME EXTENSION...: makes NAME.pem and NAME.key, signed by the authority.
certificate() {
    local name="$1"
    shift
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$name.key" -out "$name.csr"
    printf '%s\n' "$@" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA authority.pem -CAkey authority.key -CAcreateserial \
        -days 2 -extfile "$name.ext" -out "$name.pem"
}

names='subjectAltName=DNS:localhost,IP:127.0.0.1'
{
    authority authority
    authority stranger
    certificate first "$names" extendedKeyUsage=serverAuth
    certificate second "$names" extendedKeyUsage=serverAuth
    certificate client extendedKeyUsage=clientAuth
    cp first.pem served.pem
    cp first.key served.key
    cat first.pem first.key > front.pem
} 2> openssl.log || { cat openssl.log >&2; exit 1; }
