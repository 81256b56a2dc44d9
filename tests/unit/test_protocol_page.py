"""protocol.md against the code: its limits, domain strings, frames and close codes are those that count."""

from __future__ import annotations

import re
from pathlib import Path

import p2pmsg
from p2pmsg.config import limits
from p2pmsg.crypto import domains
from p2pmsg.model.events import Kind
from p2pmsg.protocol import messages, wire
from p2pmsg.protocol.wire import FrameType

PAGE = (Path(p2pmsg.__file__).parent / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_limits() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", section("Limits"), re.MULTILINE)
    assert len(rows) > 30
    assert {name: float(value.replace(",", "")) for name, value in rows} == {name: float(getattr(limits, name)) for name, _ in rows}


def test_domain_strings() -> None:
    table = {value for name, value in vars(domains).items() if name.isupper()}
    listed = re.findall(r"`([a-z0-9/]+)`", " ".join(re.findall(r"^\| (`.*?) \|", section("Domain strings"), re.MULTILINE)))
    assert {b"p2pmsg/1/%s\0" % name.encode() for name in listed} == table


def test_no_other_domain_string_is_named() -> None:
    named = set(re.findall(r'[HM]\((?:\w+, )?"([a-z0-9/]+)"|"([a-z0-9/]+)" \|\|', PAGE))
    table = {value for name, value in vars(domains).items() if name.isupper()}
    assert {b"p2pmsg/1/%s\0" % (one or other).encode() for one, other in named} <= table


def test_frames() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z]+) \| .* \| (yes|no) \|$", section("Frames"), re.MULTILINE)
    assert {int(number): (name, on == "no") for number, name, on in rows} == {
        int(frame): (frame.name, frame in wire.PLAIN) for frame in FrameType
    }


def test_close_codes() -> None:
    codes = [messages.REFUSED, messages.BYE, messages.NEWER_LINK_KEPT, messages.OTHER_VERSION, messages.LIMIT, messages.MISBEHAVED]
    assert [int(code, 16) for code in re.findall(r"^\| (0x\w+) ", section("Close codes"), re.MULTILINE)] == codes


def test_kinds() -> None:
    assert [int(kind) for kind in re.findall(r"^\| (\d) \|", section("Bodies"), re.MULTILINE)] == list(Kind)


def test_contents_lead_somewhere() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert re.findall(r"\]\(#(.*?)\)", PAGE) == [title.lower().replace(" ", "-") for title in titles]
