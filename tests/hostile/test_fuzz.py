"""Every decoder: a value, or the error that it promises, never anything else (DESIGN 12). Bytes at random, and good bytes gone bad.

`scripts/soak fuzz` does the same for a million times each.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import p2pmsg
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.network import announcements
from p2pmsg.protocol import authority, wire
from tests.hostile import feeding
from tests.hostile.decoders import DECODERS
from tests.hostile.feeding import ANN, BOB, GOOD_BODIES, announced, header

A_WHILE = settings(max_examples=250, deadline=timedelta(seconds=1), suppress_health_check=list(HealthCheck))
"""At most two seconds each."""


@st.composite
def spoilt(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """Bytes at random, or a good value with parts changed, cut out, repeated or put in."""
    if not good or draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at : at + 1] = draw(
                    st.sampled_from([b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xcb\x7f\xf8" + bytes(6)])
                )
            case 4:
                data[at:at] = draw(st.sampled_from([b"\x91", b"\x81\xa1a", b"\x92\xc0", b"["])) * draw(st.integers(1, 3000))
            case 5:
                data[at : at + draw(st.integers(0, 8))] = draw(
                    st.sampled_from([b"1e999", b"9" * 5000, b"-1", b"null", b"\xff", b"\\ud800"])
                )
    return bytes(data)


@pytest.mark.parametrize("name", DECODERS)
@A_WHILE
@given(data=st.data())
def test_decoder(name: str, data: st.DataObject) -> None:
    decoder = DECODERS[name]
    decoder.holds(data.draw(spoilt(decoder.good)))


@pytest.mark.parametrize("name", DECODERS)
def test_a_good_value_is_one(name: str) -> None:
    """Else the decoder would be tried with nothing but rubbish."""
    decoder = DECODERS[name]
    if name not in NEVER_GOOD and decoder.good:
        decoder.decode(decoder.good[0])


NEVER_GOOD = {"frame 0", "frame 15", "prove", "welcome", "to a channel", "in a channel"}
"""Where what is good depends on fresh randomness of the other side, or nothing is."""


FOUND = [
    ("key file", feeding.sealed_key().replace(b'"operations": 3', b'"operations": 1e999')),
    ("settings", b"[listen]\nport = " + b"9" * 5000),
    ("settings", b"[listen]\nport = 0x" + b"f" * 9000),
    (
        "nftables",
        b'{"nftables":[{"chain":{"family":"inet","table":"t","name":"c"}},{"rule":{"family":"inet","table":"t","chain":"c","expr":[3]}}]}',
    ),
    ("settings", b"[media]\nquota_bytes = 0x" + b"f" * 9000),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once(name: str, data: bytes) -> None:
    assert data not in DECODERS[name].good
    with pytest.raises(DECODERS[name].promises):
        DECODERS[name].decode(data)


def test_every_picture() -> None:
    """What Pillow opens is more than can be counted here: each of the usual formats, cut at every place."""
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        out = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(out, kind)
        whole = out.getvalue()
        for cut in range(0, len(whole), max(1, len(whole) // 40)):
            DECODERS["picture"].holds(whole[:cut])
            DECODERS["picture"].holds(whole[:cut] + b"\xff" + whole[cut + 1 :])


@A_WHILE
@given(spoilt([header()]), st.one_of(st.none(), spoilt(GOOD_BODIES)), st.one_of(st.just(bytes(64)), st.binary(max_size=70)))
def test_events(head: bytes, body: bytes | None, signature: bytes) -> None:
    holds(lambda data: wire.decode_event(data, signature, body), head)


def holds(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except PeerMisbehaved:
        return


@A_WHILE
@given(st.lists(st.sampled_from([*ANN.links, *BOB.links]), max_size=6))
def test_chains_of_any_links(links: list[object]) -> None:
    holds(lambda _: authority.resolve(links), b"")  # type: ignore[arg-type]


@A_WHILE
@given(st.one_of(st.just(announced()[0]), st.text(max_size=60)), spoilt([announced()[1]]))
def test_announcements(name: str, text: bytes) -> None:
    announcements.parse(name, text)  # None for what is none


TRIED = {
    *("addresses.decode_announced", "addresses.decode_hosts", "addresses.decode_invite", "admission.parse", "announcements.parse"),
    *("beacon.decode", "bodies.decode_body", "canonical.unpack", "chain.parse", "comparing.decode_nick", "handshake._read_hello"),
    *("proofs.read", "proofs.unpack", "vault._decode", "vault._decode_slot", "vault.read", "wire._decode_header", "wire.decode"),
    *("wire.decode_event", "wire.unpack_claims"),
}


def test_no_decoder_is_forgotten() -> None:
    """Functions that are named like one, in the layers that bytes from outside come into."""
    found = set()
    for layer in ("protocol", "network", "crypto"):
        for path in (Path(p2pmsg.__file__).parent / layer).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.name.lstrip("_").split("_")[0] in ("decode", "parse", "unpack", "read"):
                    found.add(f"{path.stem}.{node.name}")
    assert found == TRIED | {"netlink._read", "udp._read"}, "put what is new into `decoders`"  # which read a file and a socket
