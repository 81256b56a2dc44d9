"""How bytes from outside are fed to what decodes them: wrapped, in a file, or to a machine brought to the point where they may come."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
import msgspec
from zeroconf import DNSCache, DNSIncoming, DNSOutgoing, DNSPointer, DNSRecord, DNSText, RecordUpdate

from p2pmsg.cli import text
from p2pmsg.crypto import canonical, chain
from p2pmsg.crypto.channel import Channel
from p2pmsg.daemon import journal, process
from p2pmsg.errors import PeerMisbehaved
from p2pmsg.model import plain
from p2pmsg.network import admission, announcements, dnssd
from p2pmsg.network.records import Records
from p2pmsg.protocol import log as rules
from p2pmsg.protocol import wire
from p2pmsg.protocol.addresses import decode_announced, decode_invite, encode_announced
from p2pmsg.protocol.bodies import ContactBody, DeleteBody, ReadBody, ReadEntry, SettingBody, TextBody, encode_body
from p2pmsg.protocol.comparing import ComparingDialler, ComparingResponder
from p2pmsg.protocol.proofs import ChainReader
from p2pmsg.protocol.verifying import Verification
from p2pmsg.protocol.wire import FrameType
from p2pmsg.rpc import connection as rpc
from p2pmsg.rpc.api import METHODS
from tests.unit.meeting import End, dialler, frames, knowledge, responder
from tests.unit.people import Person, pair_row, seeded

ANN, BOB = Person("Ann", nicknames=("Anna", "Annie")), Person("Bob")
SALT, CLAIM = bytes(16), b"d" * 8 + (7).to_bytes(8, "big") + b"e" * 8
HOSTS = ["192.168.1.7", "fe80::1", "fd00::1"]


def event_frame() -> bytes:
    body = encode_body(TextBody("hello"), SALT)
    event = rules.write(None, b"c" * 32, ANN.device, 1, body, hlc=1 << 40, account_heads=ANN.identity.heads, sign=ANN.sign)  # type: ignore[arg-type]
    return wire.encode(wire.Events([wire.sent_event(event)]))[1]


def header() -> bytes:
    return bytes(msgspec.msgpack.decode(event_frame())[0][0][0])


ANNOUNCED = wire.Announced(bytes(10), encode_announced(HOSTS, 4711), bytes(64))
GOOD_FRAMES: dict[int, bytes] = {
    FrameType.HELLO: wire.encode(wire.Hello(bytes(8), 1, 1, [bytes(32)], bytes(32), 1))[1],
    FrameType.HAVE: wire.encode(wire.Have(True, [wire.LogClaims(bytes(32), CLAIM * 3)]))[1],
    FrameType.WANT: wire.encode(wire.Want([wire.Range(bytes(32), CLAIM * 2, CLAIM)]))[1],
    FrameType.EVENTS: event_frame(),
    FrameType.ACK: wire.encode(wire.Ack([wire.LogClaims(bytes(32), CLAIM)]))[1],
    FrameType.HINT: wire.encode(wire.Hint(ANNOUNCED, [ANNOUNCED, ANNOUNCED]))[1],
    FrameType.CHECK: wire.encode(wire.Check(7))[1],
    FrameType.CHECKED: wire.encode(wire.Checked(7, 1, bytes(4), 1, [wire.Sighting(1, 2, 3)]))[1],
    FrameType.VERIFY: wire.encode(wire.Verify(1, bytes(32)))[1],
    FrameType.PRESENCE: wire.encode(wire.PresenceKey(bytes(32), 2, 1))[1],
    FrameType.TYPING: wire.encode(wire.Typing())[1],
}
GOOD_BODIES = (
    encode_body(TextBody("hello"), SALT),
    encode_body(ReadBody(bytes(32), [ReadEntry(bytes(32), 1, bytes(8))]), SALT),
    encode_body(ContactBody(bytes(32), "a", "b", "invited", None, bytes(32), None), SALT),
    encode_body(SettingBody("k", [1, {"a": b"b"}]), SALT),
    encode_body(DeleteBody(bytes(32), [ReadEntry(bytes(32), 1, bytes(8))], [bytes(32)]), SALT),
)


def frame(number: int) -> Callable[[bytes], object]:
    """Return what decodes a frame of this number and all that is packed in it."""

    def decode(data: bytes) -> None:
        match wire.decode(number, data):
            case wire.Have(conversations=entries) | wire.Ack(conversations=entries):
                for entry in entries:
                    wire.unpack_claims(entry.vector)
            case wire.Want(ranges=ranges):
                for each in ranges:
                    wire.unpack_claims(each.head)
                    wire.unpack_claims(each.locator)
            case wire.Events(events=events):
                for event in events:
                    wire.decode_event(event.header, event.signature, event.body)
            case wire.Hint(own=own, others=others):
                for each in [*others, *([own] if own else [])]:
                    decode_announced(each.addresses)
            case wire.Verify() as verify:
                Verification(asks=False, x=bytes(32), mine=ANN.account, theirs=BOB.account, nonce=bytes(32)).receive(verify)

    return decode


# -- the handshake: each step from where a stranger, or a holder of the key, may speak


TO_BOB, FROM_ANN = pair_row(ANN, BOB)


def gate(data: bytes) -> None:
    responder(knowledge(BOB, [FROM_ANN])).feed(data)


def ready(data: bytes) -> None:
    end = dialler(ANN, BOB, TO_BOB)
    end.start()
    end.feed(data)


@cache
def met() -> tuple[bytes, bytes, bytes, bytes]:
    d, r = dialler(ANN, BOB, TO_BOB), responder(knowledge(BOB, [FROM_ANN]))
    first = d.start()
    second = r.feed(first)
    third = d.feed(second)
    return first, second, third, r.feed(third)


def prove(data: bytes) -> None:
    end = responder(knowledge(BOB, [FROM_ANN]))
    end.feed(met()[0])
    end.feed(data)


def welcome(data: bytes) -> None:
    end = dialler(ANN, BOB, TO_BOB)
    end.start()
    end.feed(met()[1])
    end.feed(data)


def calling(person: Person) -> Any:
    from dataclasses import replace

    return replace(knowledge(person), nick=person.name, admit=lambda: True)


def asking() -> End:
    return End(ComparingDialler(calling(BOB), seeded("x"), seeded("d", 96), 0.0))


def showing() -> End:
    return End(ComparingResponder(calling(ANN), seeded("x"), seeded("r", 96), 0.0))


@cache
def compared() -> tuple[bytes, bytes, bytes]:
    d, r = asking(), showing()
    first = d.start()
    second = r.feed(first)
    return first, second, d.feed(second)


def commit(data: bytes) -> None:
    showing().feed(data)


def nonce(data: bytes) -> None:
    end = asking()
    end.start()
    end.feed(data)


def reveal(data: bytes) -> None:
    end = showing()
    end.feed(compared()[0])
    end.feed(data)


# -- the channel


def to_channel(data: bytes) -> None:
    Channel(bytes(32), bytes(32), 0.0).receive(data[0] if data else 0, data[1:], 0.0)


def in_channel(data: bytes) -> None:
    """What the holder of the channel's keys seals into it."""
    peer, mine = Channel(b"a" * 32, b"b" * 32, 0.0), Channel(b"b" * 32, b"a" * 32, 0.0)
    for sent in frames(peer.send(data[0] if data else 0, data[1:], 0.0)):
        mine.receive(sent.type, sent.body, 0.0)


def stream(data: bytes) -> None:
    """Whole, and a byte at a time: the same frames, then the same fault."""

    def read(pieces: list[bytes]) -> tuple[list[wire.Frame], bool]:
        reader, found = wire.FrameReader(4096), []
        for piece in pieces:
            try:
                found += reader.feed(piece)
            except PeerMisbehaved:
                return found, True
        return found, False

    slow, slow_fault = read([data[at : at + 1] for at in range(len(data))])
    whole, whole_fault = read([data])
    assert slow_fault == whole_fault and (slow == whole or whole_fault)


def chains(data: bytes) -> None:
    reader = ChainReader()
    for at in range(0, len(data), 2000):
        if reader.read(data[at : at + 2000]):
            for form in reader.forms:
                chain.parse(form)


def link(data: bytes) -> None:
    assert chain.wire_form(chain.parse(data)) == data


def canonical_value(data: bytes) -> None:
    assert canonical.pack(canonical.unpack(data, 4096)) == data


def invite_text(data: bytes) -> None:
    decode_invite(data.decode("utf-8", "surrogateescape"))


def invite_raw(data: bytes) -> None:
    whole = data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    decode_invite("P2PMSG:" + base64.b32encode(whole).decode().rstrip("="))


# -- discovery


def announced() -> tuple[str, bytes]:
    made = announcements.Announcement(bytes(10), encode_announced(HOSTS, 4711), bytes(64))
    pairs = announcements.text_properties(made)
    strings = [key + b"=" + value for key, value in pairs.items()]
    return f"{announcements.instance_name(bytes(10))}.{announcements.SERVICE}", b"".join(bytes((len(s),)) + s for s in strings)


def answer_packet() -> bytes:
    packet = DNSOutgoing(0x8400)
    name, txt = announced()
    packet.add_answer_at_time(DNSPointer(announcements.SERVICE, 12, 1, 120, name), 0)
    packet.add_answer_at_time(DNSText(name, 16, 1, 120, txt), 0)
    return packet.packets()[0]


def multicast(data: bytes) -> None:
    """As zeroconf hands a packet on."""
    packet = DNSIncoming(data)
    if packet.valid and packet.is_response():
        listener = Records(lambda name, txt: None, lambda name: None, ())
        found: list[DNSRecord] = list(packet.answers())
        listener.async_update_records(SimpleNamespace(cache=DNSCache()), 0.0, [RecordUpdate(each, None) for each in found])  # type: ignore[arg-type]
        listener.async_update_records_complete()
        listener.known(0.0)


class Site:
    """The site's DNS, which answers everything with the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def resolve(self, name: str, kind: str, **_: object) -> dns.resolver.Answer:
        message, query = dns.message.from_wire(self._data), dns.message.make_query(name, kind)
        query.id = message.id
        if not query.is_response(message):
            raise dns.resolver.NoAnswer
        found = dns.resolver.Answer(dns.name.from_text(name), dns.rdatatype.from_text(kind), dns.rdataclass.IN, message)  # type: ignore[arg-type]
        if found.rrset is None:
            raise dns.resolver.NoAnswer
        return found


def run(work: Coroutine[Any, Any, object]) -> None:
    try:
        work.send(None)
    except StopIteration:
        return


def site_dns(data: bytes) -> None:
    site: Any = Site(data)
    run(dnssd._names(site, "a.example", "PTR"))
    run(dnssd._located(site, "a.example"))


def site_answers() -> tuple[bytes, ...]:
    found = []
    for kind, value in (("PTR", "b.example."), ("SRV", "0 0 4711 a.example."), ("A", "10.0.0.1"), ("AAAA", "fd00::1")):
        message = dns.message.make_response(dns.message.make_query("a.example.", kind))
        message.answer.append(dns.rrset.from_text("a.example.", 60, "IN", kind, value))
        found.append(message.to_wire())
    return tuple(found)


def first_datagram(data: bytes) -> None:
    header = admission.parse(data)
    if header is not None:
        admission.Admission().answer(header, len(data), ("127.0.0.1", 9), 0.0)


# -- files and the local API


@cache
def place() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes with the process."""
    return tempfile.TemporaryDirectory(prefix="p2pmsg-fuzz-")


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        path = Path(place().name) / name
        if not path.exists():
            path.touch(0o600)
        path.write_bytes(data)
        return read(path)

    return decode


def sealed_key() -> bytes:
    fields = {"version": 1, "mode": "passphrase", "salt": "00" * 16, "operations": 3, "memory_bytes": 1 << 28, "sealed": "00" * 72}
    return json.dumps({**fields, "next": {**fields, "bridge": "00" * 72}}).encode()


SETTINGS = b'[discovery]\npaths = ["mdns", "static"]\nstatic = ["10.0.0.1:4711"]\n[listen]\nport = 0\n[notify]\ncommand = "a b"\n'
LOCK = b'{"pid": 7, "socket": "/s", "version": "1", "protocol": 1, "started_at": ""}'


def request(line: bytes) -> None:
    asked = rpc._decode(line)
    kind = METHODS.get(asked.method)
    if kind is not None:
        try:
            msgspec.json.decode(asked.params, type=kind)
        except rpc.UNREADABLE:
            return


GOOD_LINES = tuple(
    json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"target": "bob", "text": "x", "name": "n"}}).encode()
    for method in ("send", "watch", "contact.add", "rpc.hello")
)


def shown(data: bytes) -> None:
    """Text of others, by every way on which people see it."""
    said = data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace") if _is_text(data) else data.decode("latin-1")
    for one in (text.line(said), text.name(said), plain.summary(said, 60), journal._escaped(said)):
        assert not any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in one)
    for columns in (None, 40):
        rows = text.said("12:00  bob: ", said, columns).split("\n")
        assert all(row.startswith(" " * 10) for row in rows[1:])
        assert not any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for row in rows for each in row)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def logged(path: Path) -> None:
    for line in process._lines(path):
        assert "\n" not in text.line(line)
