"""Every decoder of bytes from outside, with the errors that it promises and good values to begin from.

`test_fuzz` tries each for a moment in every run of the tests, `scripts/soak fuzz` a million times, led by coverage.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2pmsg.cli import qr
from p2pmsg.config import settings
from p2pmsg.crypto import canonical, chain, kem, signing, vault, words
from p2pmsg.daemon import iptables_rules, nft_rules
from p2pmsg.errors import HandshakeRefused, InviteMalformed, PeerMisbehaved, SettingsInvalid, StorageDamaged, UsageError
from p2pmsg.model.ids import AccountId
from p2pmsg.network import announcements, beacon, netlink, questions
from p2pmsg.protocol import wire
from p2pmsg.protocol.addresses import decode_announced, decode_hosts, encode_announced, encode_hosts, encode_invite
from p2pmsg.protocol.bodies import decode_body
from p2pmsg.protocol.comparing import decode_nick, encode_nick
from p2pmsg.protocol.proofs import Proof, encode_chain
from p2pmsg.rpc import connection as rpc
from p2pmsg.rpc import locate
from tests.hostile import feeding

Fault = type[Exception]


@dataclass(frozen=True, slots=True)
class Decoder:
    """What takes bytes: it gives a value or one of the errors that it promises, never anything else."""

    decode: Callable[[bytes], object]
    promises: tuple[Fault, ...]
    good: tuple[bytes, ...]

    def holds(self, data: bytes) -> None:
        """Decode; what was not promised is raised."""
        try:
            self.decode(data)
        except self.promises:
            return


PEER = (PeerMisbehaved,)
RULES = b'{"nftables":[{"chain":{"family":"inet","table":"t","name":"c","hook":"input","prio":0,"policy":"drop"}},{"rule":{"family":"inet",'
RULES += b'"table":"t","chain":"c","expr":[{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":5353}},'
RULES += b'{"accept":null}]}}]}'
INVITE = encode_invite(AccountId(bytes(32)), bytes(16), 4711, feeding.HOSTS)
RAW_INVITE = base64.b32decode(INVITE[7:] + "=" * (-len(INVITE[7:]) % 8))[:-2]
GOOD_KEY = kem.PrivateKey.from_seed(bytes(32))

DECODERS: dict[str, Decoder] = {
    **{f"frame {number:d}": Decoder(feeding.frame(number), PEER, (good,)) for number, good in feeding.GOOD_FRAMES.items()},
    **{f"frame {number}": Decoder(feeding.frame(number), PEER, tuple(feeding.GOOD_FRAMES.values())) for number in (0, 15, 26)},
    **{f"body {kind}": Decoder(partial(decode_body, kind), PEER, (good,)) for kind, good in enumerate(feeding.GOOD_BODIES, 1)},
    "body of a later version": Decoder(partial(decode_body, 2**62), PEER, (feeding.SALT,)),
    "stream of frames": Decoder(feeding.stream, (), (wire.plain_frame(1, bytes(40)) + b"\x0b\0\0\0\x05hello", b"\x0d\0\0\0\0")),
    "header": Decoder(lambda data: wire.decode_event(data, bytes(64), None), PEER, (feeding.header(),)),
    "canonical": Decoder(
        feeding.canonical_value, PEER, (feeding.header(), canonical.pack({"a": [1, None, "x", b"y", True], "b": {"c": -5}}))
    ),
    "link of a chain": Decoder(feeding.link, PEER, tuple(map(chain.wire_form, feeding.ANN.links))),
    "chain": Decoder(feeding.chains, PEER, tuple(encode_chain(feeding.ANN.links))),
    "proof": Decoder(Proof.unpack, PEER, (bytes(160),)),
    "claims": Decoder(wire.unpack_claims, PEER, (feeding.CLAIM * 3,)),
    "gate": Decoder(feeding.gate, (HandshakeRefused, *PEER), (feeding.met()[0],)),
    "ready": Decoder(feeding.ready, (HandshakeRefused, *PEER), (feeding.met()[1],)),
    "prove": Decoder(feeding.prove, (HandshakeRefused, *PEER), (feeding.met()[2],)),
    "welcome": Decoder(feeding.welcome, (HandshakeRefused, *PEER), (feeding.met()[3],)),
    "commit": Decoder(feeding.commit, (HandshakeRefused, *PEER), (feeding.compared()[0],)),
    "nonce": Decoder(feeding.nonce, (HandshakeRefused, *PEER), (feeding.compared()[1],)),
    "reveal": Decoder(feeding.reveal, (HandshakeRefused, *PEER), (feeding.compared()[2],)),
    "nickname": Decoder(decode_nick, PEER, (encode_nick("Ann"), encode_nick("Zoë 山"))),
    "to a channel": Decoder(feeding.to_channel, PEER, (b"\x0d" + bytes(80), b"\x0f" + bytes(1232))),
    "in a channel": Decoder(feeding.in_channel, PEER, (b"\x0f" + GOOD_KEY.public, b"\x10" + bytes(1168), b"\x0dhello")),
    "sealed": Decoder(lambda data: GOOD_KEY.open(data, b"info"), PEER, (kem.seal(GOOD_KEY.public, b"x" * 32, b"info"),)),
    "public key to seal to": Decoder(lambda data: kem.seal(data, bytes(32), b"info"), PEER, (GOOD_KEY.public,)),
    "signature": Decoder(
        lambda data: signing.verify(data[:32], data[32:96], data[96:]), PEER, (feeding.ANN.key + feeding.ANN.sign(b"m") + b"m",)
    ),
    "addresses": Decoder(decode_announced, PEER, (encode_announced(feeding.HOSTS, 4711),)),
    "hosts": Decoder(decode_hosts, PEER, (encode_hosts(feeding.HOSTS, 126),)),
    "invite": Decoder(feeding.invite_text, (InviteMalformed,), (INVITE.encode(), INVITE.lower().encode())),
    "invite's bytes": Decoder(feeding.invite_raw, (InviteMalformed,), (RAW_INVITE,)),
    "announcement": Decoder(lambda data: announcements.parse(feeding.announced()[0], data), (), (feeding.announced()[1],)),
    "instance": Decoder(
        lambda data: announcements.parse(data.decode("utf-8", "replace"), feeding.announced()[1]), (), (feeding.announced()[0].encode(),)
    ),
    "beacon": Decoder(
        beacon.decode, (), (beacon.encode(announcements.Announcement(bytes(10), encode_announced(feeding.HOSTS, 1024), bytes(64))),)
    ),
    "multicast DNS": Decoder(feeding.multicast, (), (feeding.answer_packet(),)),
    "answer to a sweep": Decoder(questions.answers, (), (feeding.answer_packet(),)),
    "the site's DNS": Decoder(feeding.site_dns, (), feeding.site_answers()),
    "first datagram": Decoder(
        feeding.first_datagram, (), (b"\xc0\0\0\0\x01\x08" + bytes(8) + b"\x08" + bytes(8) + bytes(1180), b"\x40" + bytes(40))
    ),
    "netlink": Decoder(lambda data: list(netlink.link_states(data)), (), (bytes.fromhex("20000000100000000000000000000000") + bytes(16),)),
    "key file": Decoder(
        feeding.in_file("key", vault.read),
        (StorageDamaged,),
        (feeding.sealed_key(), b'{"version": 1, "mode": "file", "key": "' + b"0" * 64 + b'"}'),
    ),
    "settings": Decoder(feeding.in_file("config.toml", settings.load), (SettingsInvalid,), (feeding.SETTINGS,)),
    "lock file": Decoder(feeding.in_file("lock", lambda path: locate.lock_info(path.parent)), (), (feeding.LOCK,)),
    "log file": Decoder(feeding.in_file("daemon.log", feeding.logged), (), (b"2026-01-01T00:00:00.000Z INFO x: y\n  z\n",)),
    "local API": Decoder(feeding.request, (rpc.Fault,), feeding.GOOD_LINES),
    "recovery words": Decoder(
        lambda data: words.entropy(data.decode("utf-8", "replace").split(" ")), (UsageError,), (" ".join(words.new(bytes(32))).encode(),)
    ),
    "picture": Decoder(feeding.in_file("qr.png", qr.read), (InviteMalformed,), ()),
    "nftables": Decoder(lambda data: nft_rules.parse(data.decode("utf-8", "replace")), (ValueError,), (RULES,)),
    "iptables": Decoder(
        lambda data: iptables_rules.parse(data.decode("utf-8", "replace")), (), (b"-P INPUT DROP\n-A INPUT -p udp --dport 1:9 -j ACCEPT\n",)
    ),
    "text shown": Decoder(
        feeding.shown, (), (b"hello", "a\u202eb\n\u05e9\u05dc\u05d5\u05dd e\u0301 12:00  bob: x".encode(), b"\x1b]52;c;aGk=\x07 " * 9)
    ),
}
