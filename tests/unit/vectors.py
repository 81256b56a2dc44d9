"""The test vectors of the protocol's description: what `docs/vectors.json` holds, computed from seeds.

    python -m tests.unit.vectors --write     after the protocol has changed on purpose

All is deterministic but HPKE's sealing, which draws an ephemeral key each time: what was sealed once is kept, as long as it opens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import p2pmsg
from p2pmsg.crypto import agreement, chain, domains, gates, kem, sas, signing, words
from p2pmsg.crypto.channel import KEY, NEXT, Channel
from p2pmsg.crypto.hashing import digest, mac
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model.events import Claim, Event, Kind, Tip
from p2pmsg.network.announcements import instance_name
from p2pmsg.protocol import bodies, log, wire
from p2pmsg.protocol.addresses import encode_announced, encode_invite
from p2pmsg.protocol.comparing import encode_nick
from p2pmsg.protocol.proofs import encode_chain

PAGE: Final = Path(p2pmsg.__file__).parent / "docs" / "vectors.json"
ABOUT: Final = "Test vectors of p2pmsg's protocol, version 1; bytes are lower-case hex. Names are those of protocol.md."
CLOCK_MS: Final = 1_790_000_000_000
PORT: Final = 47_000
HOSTS: Final = ("192.168.7.21", "fe80::a1:b2ff:fec3:d4e5", "fd00:7::21")
Section = dict[str, Any]


def seeded(text: str, size: int = 32) -> bytes:
    """Return bytes for a purpose: repetitions of its name, so that nobody mistakes them for secrets."""
    return (text.encode() * size)[:size]


EXPORTER: Final = seeded("exporter ")


class _Person:
    """An account with one device, all of it from the person's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entropy = seeded(f"{name} entropy ")
        self.root, root_secret = words.root_keypair(self.entropy)
        self.seed = seeded(f"{name} device ")
        self.key, self.secret = signing.keypair(self.seed)
        self.backup = words.backup_public(self.entropy)
        self.salt = seeded(f"{name} salt ", 16)
        form = chain.genesis(root_secret, self.root, self.key, "laptop", name.capitalize(), self.backup, self.salt)
        self.genesis = chain.parse(form)
        self.account = self.genesis.account
        self.device = chain.device_id(self.account, self.key)

    def vectors(self) -> Section:
        return {
            "entropy": self.entropy,
            "words": " ".join(words.new(self.entropy)),
            "root_key": self.root,
            "backup_key": self.backup,
            "device_seed": self.seed,
            "device_key": self.key,
            "salt": self.salt,
            "genesis_signature": self.genesis.signature,
            "genesis_body": self.genesis.body,
            "account": self.account,
            "device": self.device,
        }


ANN, BOB = _Person("ann"), _Person("bob")
PROFILE = chain.parse(chain.profile(ANN.secret, ANN.key, ANN.account, [ANN.genesis.id], "Annie"))
SELF = gates.self_conversation(ANN.account)
DIRECT = gates.direct_conversation(ANN.account, BOB.account)
PRESENCE_KEY = seeded("presence key ")


def build(recorded: Section) -> Section:
    """Return all vectors; `recorded` are the sealed bytes of an earlier run, renewed where they do not open."""
    shake, keep = _handshake(recorded)
    return {
        "about": ABOUT,
        "recorded": keep,
        "ann": ANN.vectors(),
        "bob": BOB.vectors(),
        "profile": {
            "body": PROFILE.body,
            "signature": PROFILE.signature,
            "id": PROFILE.id,
            "heads_digest": chain.heads_digest([PROFILE.id]),
        },
        "links": _links(),
        "chain_frame": {"payload": encode_chain([ANN.genesis, PROFILE])[0]},
        "conversations": {"self": SELF, "direct": DIRECT},
        "event": _events(),
        "bodies": _bodies(),
        "invite": _invite(),
        "announcement": _announcement(),
        "sas": _sas(),
        "handshake": shake,
        "channel": _channel(),
        "messages": _messages(),
    }


def _links() -> Section:
    """A phone that the laptop adds and removes, and another root in the place of Ann's; each with what comes before it."""
    phone, phone_secret = signing.keypair(seeded("ann phone "))
    root, _ = words.root_keypair(seeded("ann new entropy "))
    root_secret = words.root_keypair(ANN.entropy)[1]
    adding = chain.adding(ANN.key, ANN.account, [PROFILE.id], phone, "phone", admin=True)
    add = chain.parse(chain.complete(ANN.secret, adding, chain.agree(phone_secret, adding)))
    rerooting = chain.rerooting(ANN.root, ANN.account, [add.id], phone, root, words.backup_public(seeded("ann new entropy ")))
    reroot = chain.parse(chain.complete(root_secret, rerooting, chain.agree(phone_secret, rerooting)))
    revoke = chain.parse(chain.revoke(ANN.secret, ANN.key, ANN.account, [add.id, reroot.id], phone))
    made = {"add": add, "reroot": reroot, "revoke": revoke}
    return {
        "phone_key": phone,
        "phone_device": chain.device_id(ANN.account, phone),
        **{name: {"id": link.id, "wire": chain.wire_form(link)} for name, link in made.items()},
    }


def _write(previous: Event | None, text: str) -> Event:
    body = bodies.encode_body(bodies.TextBody(text), seeded("body salt ", 16))
    return log.write(
        Tip(previous.header.seq, previous.id, previous.header.hlc) if previous else None,
        DIRECT,
        ANN.device,
        Kind.TEXT,
        body,
        hlc=CLOCK_MS << 16 if previous is None else previous.header.hlc + 1,
        account_heads=(PROFILE.id,),
        sign=lambda message: signing.sign(ANN.secret, message),
        parents=[] if previous is None else [previous.id],
    )


FIRST = _write(None, "Grüße vom Mount Everest")
SECOND = _write(FIRST, "-5 °C")


def _events() -> Section:
    def event(of: Event) -> Section:
        return {"body": of.body, "body_hash": of.header.body_hash, "header": of.header_bytes, "id": of.id, "signature": of.signature}

    return {"hlc": FIRST.header.hlc, "first": event(FIRST), "second": event(SECOND)}


def _bodies() -> Section:
    upto = [bodies.ReadEntry(ANN.device, 2, SECOND.id[:8])]
    contact = bodies.ContactBody(BOB.account, None, "Bob", "invited", None, seeded("pair key "), "invite_mine")
    made: dict[str, bodies.Body] = {
        "text": bodies.TextBody("Grüße vom Mount Everest"),
        "read": bodies.ReadBody(DIRECT, upto),
        "contact": contact,
        "setting": bodies.SettingBody("presence_key", [PRESENCE_KEY, 1]),
        "delete": bodies.DeleteBody(DIRECT, upto, [FIRST.id]),
        "seen": bodies.SeenBody(BOB.account, "added", BOB.device, "Bob", "phone", "laptop"),
    }
    return {name: bodies.encode_body(body, seeded("body salt ", 16)) for name, body in made.items()}


def _invite() -> Section:
    secret = seeded("invite secret ", 16)
    return {
        "secret": secret,
        "port": PORT,
        "hosts": list(HOSTS),
        "text": encode_invite(ANN.account, secret, PORT, HOSTS),
        "id": gates.invite_id(secret),
        "gate_key": gates.invite_gate(secret, ANN.account),
    }


def _announcement() -> Section:
    nonce, addresses = seeded("nonce ", 10), encode_announced(HOSTS, PORT)
    return {
        "nonce": nonce,
        "instance": instance_name(nonce),
        "hosts": list(HOSTS),
        "port": PORT,
        "a": addresses,
        "presence_key": PRESENCE_KEY,
        "tag": gates.tag(PRESENCE_KEY, nonce, addresses),
    }


def _sas() -> Section:
    """Bob asks Ann, who is visible."""
    x, n_d, n_r = seeded("exporter "), seeded("nonce of d "), seeded("nonce of r ")
    nick_d, nick_r = encode_nick("Bob"), encode_nick("Ännchen")
    t = sas.transcript(x, (n_d, n_r), (nick_d, nick_r))
    shown = sas.strings(t)
    return {
        "x": x,
        "commit_frame": wire.plain_frame(wire.FrameType.COMMIT, sas.commitment(x, n_d, nick_d)),
        "nonce_frame": wire.plain_frame(wire.FrameType.NONCE, n_r + nick_r),
        "reveal_frame": wire.plain_frame(wire.FrameType.REVEAL, n_d + nick_d),
        "t": t,
        "numbers": list(shown.numbers),
        "emoji": list(shown.emoji),
        "gate_key": gates.sas_gate(t, x),
    }


def _kept(recorded: Section, name: str, key: kem.PrivateKey, info: bytes, plain: bytes) -> bytes:
    """Return what was sealed in an earlier run if it still opens to this, else seal it anew."""
    try:
        sealed = bytes.fromhex(recorded[name])
        if key.open(sealed, info) == plain:
            return sealed
    except (KeyError, PeerMisbehaved):
        pass
    return kem.seal(key.public, plain, info)


def _handshake(recorded: Section) -> tuple[Section, Section]:
    """Bob dials Ann by the invite: case B, which holds all that case A has."""
    gate, x = gates.invite_gate(seeded("invite secret ", 16), ANN.account), EXPORTER
    ek_d, ek_r = (kem.PrivateKey.from_seed(seeded(f"ek {side} ")) for side in "dr")
    seed_d, seed_r = seeded("seed d "), seeded("seed r ")
    t0 = agreement.t0(x, b"\x01", ek_d.public)
    sealed_r = _kept(recorded, "sealed_seed_r", ek_d, t0, seed_r)
    t1 = agreement.t1(t0, ek_r.public, sealed_r)
    heads_d, heads_r = chain.heads_digest([BOB.genesis.id]), chain.heads_digest([PROFILE.id])
    text_d = agreement.prove_text(t1, ANN.account, BOB.account, BOB.key, heads_d)
    prove = seed_d + BOB.account + BOB.key + heads_d + signing.sign(BOB.secret, text_d)
    sealed_d = _kept(recorded, "prove", ek_r, t1, prove)
    t2 = agreement.t2(t1, sealed_d)
    text_r = agreement.welcome_text(t2, BOB.account, ANN.account, ANN.key, heads_r)
    k = agreement.master_key(gate, seed_d, seed_r, t2)
    k_d, k_r = agreement.channel_keys(k)
    pair = gates.pair_key(k, ANN.account, BOB.account)
    made: Section = {
        "x": x,
        "gate_key": gate,
        "ek_d_seed": seeded("ek d "),
        "ek_r_seed": seeded("ek r "),
        "seed_d": seed_d,
        "seed_r": seed_r,
        "t0": t0,
        "gate_frame": wire.plain_frame(wire.FrameType.GATE, b"\x01" + ek_d.public + agreement.gate_mac(gate, t0)),
        "t1": t1,
        "ready_frame": wire.plain_frame(wire.FrameType.READY, ek_r.public + sealed_r + agreement.ready_mac(gate, t1)),
        "prove_text": text_d,
        "prove_opened": prove,
        "prove_frame": wire.plain_frame(wire.FrameType.PROVE, sealed_d),
        "t2": t2,
        "k": k,
        "k_d": k_d,
        "k_r": k_r,
        "welcome_text": text_r,
        "welcome_payload": ANN.account + ANN.key + heads_r + signing.sign(ANN.secret, text_r),
        "pair_key": pair,
        "pair_gate_key": gates.pair_gate(pair, ANN.account, BOB.account),
    }
    return made, {"sealed_seed_r": sealed_r, "prove": sealed_d}


def _channel() -> Section:
    """Two frames under stepped keys; then what a renewal makes of a key."""
    key, ek = seeded("channel key "), kem.PrivateKey.from_seed(seeded("ek renewal "))
    channel = Channel(key, seeded("the other way "), now=0.0)
    steps = [key]
    for _ in range(2):
        steps.append(mac(steps[-1], domains.CHANNEL_STEP))
    seed = seeded("renewal seed ")
    return {
        "keys": steps,
        "payload": b"one payload",
        "frames": [channel.send(wire.FrameType.HAVE, b"one payload", 0.0) for _ in range(2)],
        "key_frame_type": KEY,
        "next_frame_type": NEXT,
        "renewal_ek_seed": seeded("ek renewal "),
        "renewal_info": digest(domains.CHANNEL_SEAL, ek.public),
        "renewal_seed": seed,
        "renewed_key": mac(steps[-1], domains.CHANNEL_NEXT, seed),
    }


def _messages() -> Section:
    tip = wire.claim_of(ANN.device, 2, SECOND.id)
    older = Claim(tip.device, 1, FIRST.id[:8])
    vector = wire.pack_claims([tip])
    made: dict[str, wire.Message] = {
        "hello": wire.Hello(seeded("instance ", 8), CLOCK_MS, 1 << 20, [PROFILE.id], PRESENCE_KEY, 1, over=[gates.link_id(EXPORTER)]),
        "have": wire.Have(True, [wire.LogClaims(DIRECT, vector)]),
        "want": wire.Want([wire.Range(DIRECT, wire.pack_claims([older]), vector)]),
        "events": wire.Events([wire.sent_event(FIRST), wire.sent_event(SECOND)]),
        "ack": wire.Ack([wire.LogClaims(DIRECT, vector)]),
        "typing": wire.Typing(),
    }
    return {"vector": vector} | {name: wire.encode(message)[1] for name, message in made.items()}


def plain(value: Any) -> Any:
    """Return vectors as JSON has them."""
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def main(arguments: list[str], say: Callable[[str], object] = sys.stderr.write) -> int:
    if arguments != ["--write"]:
        say("Usage: python -m tests.unit.vectors --write\n")
        return 2
    recorded = json.loads(PAGE.read_text())["recorded"] if PAGE.exists() else {}
    PAGE.write_text(json.dumps(plain(build(recorded)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
