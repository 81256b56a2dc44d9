"""The protocol's test vectors: the code makes them, and what protocol.md says about them is enough to make them without it.

The second reading knows nothing of p2pmsg but the table of symbols: it is what somebody would write who has the page alone.
"""

from __future__ import annotations

import base64
import json
from hashlib import blake2b, blake2s, shake_256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.signing import SigningKey, VerifyKey

from p2pmsg.model.emoji import WORDS
from tests.unit import vectors

HERE = json.loads(vectors.PAGE.read_text(encoding="utf-8"))


def h(domain: str, *parts: bytes, key: bytes = b"") -> bytes:
    return blake2b(b"p2pmsg/1/" + domain.encode() + b"\0" + b"".join(parts), key=key, digest_size=32).digest()


def of(section: str, *names: str) -> Any:
    value = HERE[section]
    for name in names:
        value = value[name]
    return bytes.fromhex(value) if isinstance(value, str) else value


def x_wing(seed: bytes) -> tuple[bytes, Any]:
    both = shake_256(seed).digest(96)
    lattice, curve = mlkem.MLKEM768PrivateKey.from_seed_bytes(both[:64]), x25519.X25519PrivateKey.from_private_bytes(both[64:])
    public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return public, hpke.MLKEM768X25519PrivateKey(lattice, curve)


def opened(sealed: bytes, seed: bytes, info: bytes) -> bytes:
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    return suite.decrypt(sealed, x_wing(seed)[1], info=info)


# -- the code


def test_the_code_makes_them() -> None:
    made = vectors.plain(vectors.build(HERE["recorded"]))
    changed = [section for section in HERE if made.get(section) != HERE[section]]
    assert not changed and set(made) == set(HERE), "if that is on purpose: python -m tests.unit.vectors --write"


def test_writing_needs_the_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "vectors.json"
    page.write_bytes(vectors.PAGE.read_bytes())
    monkeypatch.setattr(vectors, "PAGE", page)
    assert vectors.main([], lambda _: None) == 2
    assert vectors.main(["--write"]) == 0
    assert page.read_text(encoding="utf-8") == (Path(vectors.p2pmsg.__file__).parent / "docs/vectors.json").read_text(encoding="utf-8")


# -- the page


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_account(who: str) -> None:
    entropy, body = of(who, "entropy"), of(who, "genesis_body")
    root = SigningKey(h("words/root", entropy))
    assert bytes(root.verify_key) == of(who, "root_key")
    assert x_wing(h("words/backup", entropy))[0] == of(who, "backup_key")
    assert bytes(SigningKey(of(who, "device_seed")).verify_key) == of(who, "device_key")
    assert root.sign(b"p2pmsg/1/chain\0" + body).signature == of(who, "genesis_signature")
    assert h("chain", body) == of(who, "account")
    assert h("device", of(who, "account"), of(who, "device_key")) == of(who, "device")
    assert msgspec.msgpack.decode(body) == {
        "bk": of(who, "backup_key"),
        "by": of(who, "root_key"),
        "dev": of(who, "device_key"),
        "k": "genesis",
        "name": "laptop",
        "nick": who.capitalize(),
        "salt": of(who, "salt"),
        "v": 1,
    }


def test_links_of_devices() -> None:
    """What follows is written from the page alone: which bytes are signed, by whom, and what is hashed."""
    root, laptop, phone = of("ann", "root_key"), of("ann", "device_key"), of("links", "phone_key")
    assert h("device", of("ann", "account"), phone) == of("links", "phone_device")
    for name, signer, second, purpose in (("add", laptop, phone, "chain/join"), ("reroot", root, phone, "chain/reroot")):
        wire = of("links", name, "wire")
        signature, other, body = wire[:64], wire[64:128], wire[128:]
        assert h("chain", body) == of("links", name, "id")
        VerifyKey(second).verify(b"p2pmsg/1/" + purpose.encode() + b"\0" + body, other)
        VerifyKey(signer).verify(b"p2pmsg/1/chain\0" + body + other, signature)
    wire = of("links", "revoke", "wire")
    VerifyKey(laptop).verify(b"p2pmsg/1/chain\0" + wire[64:], wire[:64])
    assert h("chain", wire[64:]) == of("links", "revoke", "id")
    assert msgspec.msgpack.decode(wire[64:])["dev"] == phone


def test_profile_and_chain_frame() -> None:
    body, signature = of("profile", "body"), of("profile", "signature")
    VerifyKey(of("ann", "device_key")).verify(b"p2pmsg/1/chain\0" + body, signature)
    assert h("chain", body) == of("profile", "id") and h("heads", of("profile", "id")) == of("profile", "heads_digest")
    links = (of("ann", "genesis_signature") + of("ann", "genesis_body"), signature + body)
    assert of("chain_frame", "payload") == b"\1" + b"".join(len(link).to_bytes(2, "big") + link for link in links)


def test_conversations() -> None:
    both = sorted((of("ann", "account"), of("bob", "account")))
    assert h("direct", *both) == of("conversations", "direct")
    assert h("self", of("ann", "account")) == of("conversations", "self")


def test_events() -> None:
    first, second = ({name: of("event", which, name) for name in HERE["event"][which]} for which in ("first", "second"))
    for seq, event, previous in ((1, first, bytes(32)), (2, second, first["id"])):
        fields = msgspec.msgpack.decode(event["header"])
        parents = [first["id"]] if seq == 2 else []
        hlc = HERE["event"]["hlc"] + seq - 1
        log = [1, of("conversations", "direct"), of("ann", "device"), seq, previous, hlc]
        assert fields == [*log, parents, 1, [], [of("profile", "id")], 0, h("body", event["body"])]
        assert h("event", event["header"]) == event["id"]
        VerifyKey(of("ann", "device_key")).verify(b"p2pmsg/1/event\0" + event["header"], event["signature"])
    assert msgspec.msgpack.decode(second["body"][16:]) == ["-5 °C"]


def test_invite() -> None:
    text = HERE["invite"]["text"].removeprefix("P2PMSG:")
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    head = b"\1" + of("ann", "account") + of("invite", "secret") + (47000).to_bytes(2, "big")
    assert raw[:-2] == head + b"\1\xc0\xa8\x07\x15" + b"\2\x00\xa1\xb2\xff\xfe\xc3\xd4\xe5"  # a third address has no room
    assert h("gate/invite", of("ann", "account"), key=of("invite", "secret")) == of("invite", "gate_key")
    assert h("invite/id", of("invite", "secret"))[:8] == of("invite", "id")


def test_announcement() -> None:
    nonce, addresses, key = of("announcement", "nonce"), of("announcement", "a"), of("announcement", "presence_key")
    assert HERE["announcement"]["instance"] == base64.b32encode(nonce).decode().lower()
    tag = blake2s(b"p2pmsg/1/tag\0" + nonce + addresses, key=key, digest_size=8).digest()
    assert tag == of("announcement", "tag")


def test_comparing_strings() -> None:
    x, t = of("sas", "x"), of("sas", "t")
    commit, nonce, reveal = (of("sas", f"{name}_frame") for name in ("commit", "nonce", "reveal"))
    assert (commit[:3], nonce[:3], reveal[:3]) == (b"\6\0\x20", b"\7\0\x60", b"\x08\0\x60")
    n_d, nick_d, n_r, nick_r = reveal[3:35], reveal[35:], nonce[3:35], nonce[35:]
    assert (nick_d, nick_r) == (b"Bob".ljust(64, b"\0"), "Ännchen".encode().ljust(64, b"\0"))
    assert commit[3:] == h("sas/commit", x, n_d, nick_d)
    assert t == h("sas", x, n_d, n_r, nick_d, nick_r)
    bits = f"{int.from_bytes(t, 'big'):0256b}"
    assert HERE["sas"]["numbers"] == [int(bits[at : at + 13], 2) + 1000 for at in (0, 13, 26)]
    assert HERE["sas"]["emoji"] == [WORDS[int(bits[at : at + 6], 2)] for at in range(0, 42, 6)]
    assert of("sas", "gate_key") == h("gate/sas", x, key=t)


def test_handshake() -> None:
    x, gate = of("handshake", "x"), of("handshake", "gate_key")
    hello, ready, prove = (of("handshake", f"{name}_frame")[3:] for name in ("gate", "ready", "prove"))
    ek_d, ek_r, sealed = x_wing(of("handshake", "ek_d_seed"))[0], x_wing(of("handshake", "ek_r_seed"))[0], ready[1216:-32]
    t0 = h("hs/t0", x, b"\1", ek_d)
    assert hello == b"\1" + ek_d + h("hs/gate", t0, key=gate)
    t1 = h("hs/t1", t0, ek_r, sealed)
    assert ready == ek_r + sealed + h("hs/ready", t1, key=gate)
    seed_r = opened(sealed, of("handshake", "ek_d_seed"), t0)
    plain = opened(prove, of("handshake", "ek_r_seed"), t1)
    seed_d, proof, signature = plain[:32], plain[32:128], plain[128:]
    VerifyKey(of("bob", "device_key")).verify(b"p2pmsg/1/hs/prove\0" + t1 + of("ann", "account") + proof, signature)
    t2 = h("hs/t2", t1, prove)
    k = h("hs/key", seed_d, seed_r, t2, key=gate)
    assert (h("ch/d", key=k), h("ch/r", key=k)) == (of("handshake", "k_d"), of("handshake", "k_r"))
    welcome = of("handshake", "welcome_payload")
    text = b"p2pmsg/1/hs/welcome\0" + t2 + of("bob", "account") + welcome[:96]
    VerifyKey(of("ann", "device_key")).verify(text, welcome[96:])
    both = sorted((of("ann", "account"), of("bob", "account")))
    assert h("pair", *both, key=k) == of("handshake", "pair_key")
    assert h("gate/pair", *both, key=of("handshake", "pair_key")) == of("handshake", "pair_gate_key")


def test_channel() -> None:
    keys = [bytes.fromhex(key) for key in HERE["channel"]["keys"]]
    for counter, frame in enumerate(bytes.fromhex(frame) for frame in HERE["channel"]["frames"]):
        nonce = bytes(4) + counter.to_bytes(8, "big")
        assert ChaCha20Poly1305(keys[counter]).decrypt(nonce, frame[5:], frame[:5]) == of("channel", "payload")
        assert h("ch/step", key=keys[counter]) == keys[counter + 1]
    assert h("ch/next", of("channel", "renewal_seed"), key=keys[-1]) == of("channel", "renewed_key")
    assert h("ch/seal", x_wing(of("channel", "renewal_ek_seed"))[0]) == of("channel", "renewal_info")


def test_messages() -> None:
    direct, tip = of("conversations", "direct"), of("ann", "device")[:8] + (2).to_bytes(8, "big") + of("event", "second", "id")[:8]
    older = of("ann", "device")[:8] + (1).to_bytes(8, "big") + of("event", "first", "id")[:8]
    assert of("messages", "vector") == tip
    read = {name: msgspec.msgpack.decode(of("messages", name)) for name in ("hello", "have", "want", "events", "ack", "typing")}
    assert read["have"] == [True, [[direct, tip]]] and read["ack"] == [[[direct, tip]]]
    assert read["want"] == [[[direct, older, tip]]] and read["typing"] == []
    assert read["events"] == [[[of("event", which, part) for part in ("header", "signature", "body")] for which in ("first", "second")]]
    over = [h("link", of("handshake", "x"))[:8]]
    assert read["hello"][1:] == [vectors.CLOCK_MS, 1 << 20, [of("profile", "id")], of("announcement", "presence_key"), 1, 0, over, 0]
