"""A second implementation, as small as can be: uses an invite, becomes a contact, and reads one message.

    python reader.py INVITE ENTROPY

Written from protocol.md alone, to show that the page is enough: nothing of p2pmsg is imported. ENTROPY (64 hex digits) is what its recovery
words would say, and all of its account comes from it; run again with the same, it comes back as the same contact. Prints one JSON object
when the link is open (`account`, `nick`), and one with the `text` when that has been acknowledged.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import select
import socket
import ssl
import sys
import time
from hashlib import blake2b, shake_256
from typing import Any

import msgspec
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from aioquic.tls import CipherSuite, Direction, Epoch, hkdf_expand_label
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.signing import SigningKey, VerifyKey

GATE, READY, PROVE, WELCOME, CHAIN, GONE = 1, 2, 3, 4, 5, 9
HELLO, HAVE, WANT, EVENTS, ACK, KEY, NEXT = 10, 11, 12, 13, 14, 15, 16
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
SECONDS = 20.0
ADDRESS_BYTES = {1: 4, 2: 8, 3: 16}


def domain(name: str) -> bytes:
    return b"p2pmsg/1/" + name.encode() + b"\0"


def h(name: str, *parts: bytes, key: bytes = b"") -> bytes:
    return blake2b(domain(name) + b"".join(parts), key=key, digest_size=32).digest()


def x_wing(seed: bytes) -> tuple[bytes, Any]:
    """Return an X-Wing key: the public half as bytes, and the private one."""
    both = shake_256(seed).digest(96)
    lattice, curve = mlkem.MLKEM768PrivateKey.from_seed_bytes(both[:64]), x25519.X25519PrivateKey.from_private_bytes(both[64:])
    public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return public, hpke.MLKEM768X25519PrivateKey(lattice, curve)


def seal(public: bytes, data: bytes, info: bytes) -> bytes:
    lattice, curve = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]), x25519.X25519PublicKey.from_public_bytes(public[1184:])
    return SUITE.encrypt(data, hpke.MLKEM768X25519PublicKey(lattice, curve), info=info)


def canonical(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, order="deterministic")


class Account:
    """Somebody with one device, whose chain is its genesis."""

    def __init__(self, entropy: bytes) -> None:
        root = SigningKey(h("words/root", entropy))
        self.device_key = SigningKey(h("words/root", bytes(32), key=entropy))  # any key: its own choice
        self.dev = bytes(self.device_key.verify_key)
        fields = {"v": 1, "k": "genesis", "by": bytes(root.verify_key), "nick": "Reader", "dev": self.dev, "name": "page"}
        body = canonical(fields | {"bk": x_wing(h("words/backup", entropy))[0], "salt": entropy[:16]})
        self.chain = [root.sign(domain("chain") + body).signature + body]
        self.account = h("chain", body)
        self.heads = h("heads", self.account)

    def sign(self, name: str, *parts: bytes) -> bytes:
        return self.device_key.sign(domain(name) + b"".join(parts)).signature


class Invite:
    """What an invite says: whom to reach, where, and by which gate key."""

    def __init__(self, text: str) -> None:
        code = text.upper().removeprefix("P2PMSG:")
        data = base64.b32decode(code + "=" * (-len(code) % 8))
        assert data[0] == 1
        self.account, secret, self.port = data[1:33], data[33:49], int.from_bytes(data[49:51], "big")
        kind = data[51]
        assert kind != 2  # this reader does not dial fe80::
        self.host = str(ipaddress.ip_address(data[52 : 52 + ADDRESS_BYTES[kind]]))
        self.gate = h("gate/invite", self.account, key=secret)


class Quic(QuicConnection):
    """A connection with the exporter of RFC 8446, 7.5, which aioquic does not offer."""

    def _update_traffic_key(self, direction: Direction, epoch: Epoch, cipher_suite: Any, secret: bytes) -> None:
        if epoch is Epoch.ONE_RTT and direction is Direction.DECRYPT:
            self.master = self.tls.key_schedule.derive_secret(b"exp master")  # type: ignore[union-attr]
        super()._update_traffic_key(direction, epoch, cipher_suite, secret)

    def export(self, label: bytes) -> bytes:
        keys: Any = self.tls.key_schedule
        about = {"algorithm": keys.algorithm, "hash_value": keys.hash_empty_value}
        secret = hkdf_expand_label(secret=self.master, label=label, length=keys.algorithm.digest_size, **about)
        return hkdf_expand_label(secret=secret, label=b"exporter", length=32, **about)


class Line:
    """A connection: stream 0 as a file that blocks, and the channel's keys once there are some."""

    def __init__(self, host: str, port: int) -> None:
        suites = [CipherSuite.AES_128_GCM_SHA256, CipherSuite.CHACHA20_POLY1305_SHA256]
        how = QuicConfiguration(alpn_protocols=["p2pmsg/1"], cipher_suites=suites, verify_mode=ssl.CERT_NONE, idle_timeout=8.0)
        self.quic, self.ready, self.data, self.until = Quic(configuration=how), False, b"", time.monotonic() + SECONDS
        self.sending = self.receiving = (b"", 0)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.quic.connect((host, port), time.monotonic())
        while not self.ready:
            self.turn()

    def turn(self) -> None:
        """Send what is due, and wait for the next datagram or deadline."""
        self.flush()
        now, due = time.monotonic(), self.quic.get_timer() or self.until
        assert now < self.until, "it took too long"
        if select.select([self.socket], [], [], max(0.0, min(due, self.until) - now))[0]:
            self.quic.receive_datagram(self.socket.recv(2048), self.socket.getpeername(), time.monotonic())
        if (due := self.quic.get_timer() or self.until) <= time.monotonic():
            self.quic.handle_timer(time.monotonic())
        while (event := self.quic.next_event()) is not None:
            assert not isinstance(event, ConnectionTerminated), event
            self.ready |= isinstance(event, HandshakeCompleted)
            if isinstance(event, StreamDataReceived):
                self.data += event.data

    def take(self, count: int) -> bytes:
        while len(self.data) < count:
            self.turn()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self.socket.send(data)

    def close(self) -> None:
        self.flush()  # what was written goes first: a close takes its place otherwise
        self.quic.close(0x101)
        self.flush()

    def write_plain(self, kind: int, body: bytes) -> None:
        self.quic.send_stream_data(0, bytes([kind]) + len(body).to_bytes(2, "big") + body)

    def read_plain(self, kind: int) -> bytes:
        assert self.take(1) == bytes([kind])
        return self.take(int.from_bytes(self.take(2), "big"))

    def write(self, kind: int, payload: bytes) -> None:
        (key, counter), header = self.sending, bytes([kind]) + (len(payload) + 16).to_bytes(4, "big")
        self.quic.send_stream_data(0, header + ChaCha20Poly1305(key).encrypt(counter.to_bytes(12, "big"), payload, header))
        self.sending = h("ch/step", key=key), counter + 1

    def read(self) -> tuple[int, bytes]:
        (key, counter), header = self.receiving, self.take(5)
        sealed = self.take(int.from_bytes(header[1:], "big"))
        self.receiving = h("ch/step", key=key), counter + 1
        return header[0], ChaCha20Poly1305(key).decrypt(counter.to_bytes(12, "big"), sealed, header)

    def read_the(self, kind: int) -> bytes:
        found, payload = self.read()
        assert found == kind, f"frame {found} came in place of {kind}"
        return payload


def chain_of(line: Line) -> list[bytes]:
    """Read CHAIN frames up to the last one; return the links."""
    links, last = [], 0
    while not last:
        payload = line.read_the(CHAIN)
        last, rest = payload[0], payload[1:]
        while rest:
            size = int.from_bytes(rest[:2], "big")
            links.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
    return links


def shake(line: Line, me: Account, invite: Invite) -> dict[str, Any]:
    """Open the link as the dialler under an invite; return the genesis of who made it."""
    x, to, gate = line.quic.export(b"EXPORTER-p2pmsg-1-link"), invite.account, invite.gate
    public, private = x_wing(os.urandom(32))
    t0 = h("hs/t0", x, b"\1", public)
    line.write_plain(GATE, b"\1" + public + h("hs/gate", t0, key=gate))
    ready = line.read_plain(READY)
    theirs, sealed = ready[:1216], ready[1216:-32]
    t1 = h("hs/t1", t0, theirs, sealed)
    assert ready[-32:] == h("hs/ready", t1, key=gate)
    seed_r, seed_d = SUITE.decrypt(sealed, private, info=t0), os.urandom(32)
    about = me.account + me.dev + me.heads
    proof = seal(theirs, seed_d + about + me.sign("hs/prove", t1, to, about), t1)
    line.write_plain(PROVE, proof)
    t2 = h("hs/t2", t1, proof)
    k = h("hs/key", seed_d, seed_r, t2, key=gate)
    line.sending, line.receiving = (h("ch/d", key=k), 0), (h("ch/r", key=k), 0)
    line.write(CHAIN, b"\1" + b"".join(len(link).to_bytes(2, "big") + link for link in me.chain))
    welcome = line.read_the(WELCOME)
    account, dev, heads, signature = welcome[:32], welcome[32:64], welcome[64:96], welcome[96:]
    assert account == to
    VerifyKey(dev).verify(domain("hs/welcome") + t2 + me.account + account + dev + heads, signature)
    links = chain_of(line)
    genesis: dict[str, Any] = msgspec.msgpack.decode(links[0][64:])
    assert h("chain", links[0][64:]) == to and genesis["dev"] == dev
    VerifyKey(genesis["by"]).verify(domain("chain") + links[0][64:], links[0][:64])
    hello = [os.urandom(8), time.time_ns() // 1_000_000, 1 << 20, [me.account], os.urandom(32), 1, 0, [], 0]
    line.write(HELLO, msgspec.msgpack.encode(hello))
    line.read_the(HELLO)
    return genesis


def read_one(line: Line, me: Account, to: bytes, dev: bytes) -> str:
    """Compare, ask for what is missing, and acknowledge what comes; return the first text."""
    conversation, device = h("direct", *sorted([me.account, to])), h("device", to, dev)
    line.write(HAVE, msgspec.msgpack.encode([True, [[conversation, b""]]]))
    while True:
        kind, payload = line.read()
        if kind == HAVE:
            claims = dict(msgspec.msgpack.decode(payload)[1]).get(conversation, b"")
            if claims:
                line.write(WANT, msgspec.msgpack.encode([[[conversation, b"", claims[:24]]]]))
        if kind == EVENTS:
            for header, signature, body in msgspec.msgpack.decode(payload)[0]:
                fields = msgspec.msgpack.decode(header)
                assert fields[:3] == [1, conversation, device] and fields[11] == h("body", body)
                VerifyKey(dev).verify(domain("event") + header, signature)
                claim = device[:8] + fields[3].to_bytes(8, "big") + h("event", header)[:8]
                line.write(ACK, msgspec.msgpack.encode([[[conversation, claim]]]))
                if fields[7] == 1:
                    text: str = msgspec.msgpack.decode(body[16:])[0]
                    return text


def main(invite_text: str, entropy: str) -> None:
    me, invite = Account(bytes.fromhex(entropy)), Invite(invite_text)
    line = Line(invite.host, invite.port)
    genesis = shake(line, me, invite)
    print(json.dumps({"account": me.account.hex(), "nick": genesis["nick"]}), flush=True)  # noqa: T201
    text = read_one(line, me, invite.account, genesis["dev"])
    line.close()
    print(json.dumps({"text": text}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
