"""Strangers who dial a node at a steady rate: of ten nine send one packet and are not heard of again, the tenth goes on and lies.

    python -m tests.bench.dialling HOST PORT COUNT PER_S OWN-ADDRESS…

Prints "ready", begins with the first line of stdin, and says at the end how it went.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import time
from collections import deque
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted

LIAR_EVERY: Final = 10
_TALK_S: Final = 1.0
"""How long a liar goes on: the node's answer comes within 250 ms, and he does not wait to be told by idleness."""
_GATE: Final = b"\x01\x04\xe1\x01"
"""Type, length and version of a GATE; what follows is random, so that no key fits."""


class Liar:
    """Completes TLS, and sends a GATE under no key at all."""

    def __init__(self, sock: socket.socket, to: tuple[str, int], quic: QuicConnection) -> None:
        self.sock, self._to, self._quic = sock, to, quic
        self.lied = False
        self.until = time.monotonic() + _TALK_S

    def heard(self) -> None:
        now = time.monotonic()
        self._quic.receive_datagram(self.sock.recv(2048), self._to, now)
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted) and not self.lied:
                self._quic.send_stream_data(0, _GATE + os.urandom(1248))
                self.lied = True
        for data, _ in self._quic.datagrams_to_send(now):
            self.sock.send(data)


def dial(to: tuple[str, int]) -> tuple[QuicConnection, bytes]:
    """Make a connection, and the datagram that it begins with."""
    quic = QuicConnection(configuration=QuicConfiguration(alpn_protocols=["p2pmsg/1"], verify_mode=ssl.CERT_NONE))
    quic.connect(to, time.monotonic())
    return quic, quic.datagrams_to_send(time.monotonic())[0][0]


def socket_to(host: str, to: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.connect(to)
    sock.setblocking(False)
    return sock


def attack(to: tuple[str, int], hosts: list[str], made: list[tuple[QuicConnection, bytes]], per_s: float) -> str:
    mute = [socket_to(host, to) for host in hosts]
    liars: deque[Liar] = deque()
    lied, begun = 0, time.monotonic()
    for number, (quic, first) in enumerate(made):
        if number % LIAR_EVERY:
            mute[number % len(mute)].send(first)
        else:
            liars.append(Liar(socket_to(hosts[number // LIAR_EVERY % len(hosts)], to), to, quic))
            liars[-1].sock.send(first)
        lied += turn(liars, begun + (number + 1) / per_s)
    taken_s = time.monotonic() - begun
    lied += turn(liars, time.monotonic() + _TALK_S)
    return f"{len(made) / taken_s:.0f}/s, {lied} of {len(made) // LIAR_EVERY} liars were heard"


def turn(liars: deque[Liar], until: float) -> int:
    """Let the liars go on until a time; return how many have ended that had told their lie."""
    lied = 0
    while True:
        now = time.monotonic()
        while liars and liars[0].until <= now:
            gone = liars.popleft()
            gone.sock.close()
            lied += gone.lied
        if now >= until:
            return lied
        by_socket = {liar.sock: liar for liar in liars}
        for sock in select.select(list(by_socket), [], [], until - now)[0]:
            by_socket[sock].heard()


def main(host: str, port: str, count: str, per_s: str, *hosts: str) -> None:
    to = (host, int(port))
    made = [dial(to) for _ in range(int(count))]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(attack(to, list(hosts), made, float(per_s)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
