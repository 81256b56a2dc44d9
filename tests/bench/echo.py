"""The floors of a message's way, as two bare processes: one asks by UDP, the other answers at once, or after a commit.

    python -m tests.bench.echo plain|durable answer FILE HOST
    python -m tests.bench.echo plain|durable ask FILE HOST COUNT

Asking prints the seconds of each round trip as a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PORT: Final = 9977
WAIT_S: Final = 10.0
_CIPHER: Final = AESGCM(bytes(16))


class Durable(asyncio.DatagramProtocol):
    """Opens what it gets, commits it, and answers under seal."""

    def __init__(self, file: str) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (data BLOB)")

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, sender: Any) -> None:
        text = _CIPHER.decrypt(data[:12], data[12:], b"")
        self._db.execute("INSERT INTO t VALUES (?)", (text,))
        nonce = os.urandom(12)
        self._transport.sendto(nonce + _CIPHER.encrypt(nonce, b"stored", b""), sender)


async def answer_durably(file: str, host: str) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Durable(file), local_addr=(host, PORT))
    _say("ready")
    await loop.create_future()


def answer_plainly(host: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
        answering.bind((host, PORT))
        _say("ready")
        while True:
            answering.sendto(*answering.recvfrom(2000))


def ask(host: str, count: int, durable: bool) -> list[float]:
    times: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(WAIT_S)
        asking.connect((host, PORT))
        for _ in range(count):
            begun = time.monotonic()
            nonce = os.urandom(12)
            asking.send(nonce + _CIPHER.encrypt(nonce, bytes(200), b"") if durable else bytes(200))
            answer = asking.recv(2000)
            if durable:
                _CIPHER.decrypt(answer[:12], answer[12:], b"")
            times.append(time.monotonic() - begun)
    return times


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(how: str, side: str, file: str, host: str, count: str = "0") -> None:
    if side == "ask":
        _say(json.dumps(ask(host, int(count), how == "durable")))
    elif how == "durable":
        Path(file).unlink(missing_ok=True)
        asyncio.run(answer_durably(file, host))
    else:
        answer_plainly(host)


if __name__ == "__main__":
    main(*sys.argv[1:])
