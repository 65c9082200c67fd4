"""Python's ssl against the server at $BASE, whose process is $SERVER and whose log is $LOG.

Replaces its certificate, which is in the folder $TLS. run.sh describes the output.
"""

import os
import shutil
import signal
import socket
import ssl
import time

from checks import HOST, PORT, check, connect, same

TLS = os.environ["TLS"]


def certificate(name):
    with open(f"{TLS}/{name}") as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def wrapped(context=None):
    context = context or ssl.create_default_context()
    return context.wrap_socket(socket.create_connection((HOST, PORT), 20), server_hostname=HOST)


def served():
    with wrapped() as stream:
        return stream.getpeercert(binary_form=True)


def use(certificate, key):
    """Replaces the server's files, and signals it."""
    shutil.copy(f"{TLS}/{certificate}", f"{TLS}/served.pem")
    shutil.copy(f"{TLS}/{key}", f"{TLS}/served.key")
    os.kill(int(os.environ["SERVER"]), signal.SIGHUP)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen within 20 s")
        time.sleep(0.05)


def log():
    with open(os.environ["LOG"]) as file:
        return file.read()


def versions():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context()
        context.minimum_version = context.maximum_version = version
        with wrapped(context) as stream:
            same(stream.version(), version.name.replace("_", "."))


def protocols():
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context()
        if offered:
            context.set_alpn_protocols(offered)
        with wrapped(context) as stream:
            same(stream.selected_alpn_protocol(), chosen)


def closed():
    """The end of the connection is authenticated: `suppress_ragged_eofs` hides nothing."""
    context = ssl.create_default_context()
    raw = socket.create_connection((HOST, PORT), 20)
    with context.wrap_socket(raw, server_hostname=HOST, suppress_ragged_eofs=False) as stream:
        stream.sendall(b"GET /get HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while part := stream.recv(4096):
            received += part
        same(received.startswith(b"HTTP/1.1 200 "), True)


def in_pieces():
    """A handshake and a request, one byte at a time."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    with socket.create_connection((HOST, PORT), 20) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def repeat(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        stream.sendall(bytes([byte]))
                    incoming.write(stream.recv(4096))

        repeat(tls.do_handshake)
        tls.write(b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
        same(repeat(lambda: tls.read(13)), b"HTTP/1.1 200 ")


def requested(connection):
    connection.request("GET", "/get")
    response = connection.getresponse()
    response.read()
    return response.status


def replaced():
    connection = connect()
    same((requested(connection), served()), (200, certificate("first.pem")))
    stream = connection.sock
    use("second.pem", "second.key")
    until(lambda: served() == certificate("second.pem"))
    same((requested(connection), connection.sock is stream), (200, True))


def kept():
    """Neither garbage nor a key of another certificate is accepted."""
    connection = connect()
    requested(connection)
    stream = connection.sock
    for broken, key in (("openssl.log", "first.key"), ("first.pem", "second.key")):
        refusals = log().count(" ERROR ") + log().count(" WARN ")
        use(broken, key)
        until(lambda: log().count(" ERROR ") + log().count(" WARN ") > refusals)
        same(served(), certificate("second.pem"))
    same((requested(connection), connection.sock is stream), (200, True))
    use("first.pem", "first.key")
    until(lambda: served() == certificate("first.pem"))


check("versions", versions)
check("protocols by ALPN", protocols)
check("close_notify at the end", closed)
check("a handshake byte by byte", in_pieces)
check("a new certificate on SIGHUP, and open connections stay", replaced)
check("a broken certificate leaves the old one", kept)
