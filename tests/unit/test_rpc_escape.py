import json

from hypothesis import given
from hypothesis import strategies as st

from p2pmsg.rpc.escape import escape

FORBIDDEN = {*range(0x20), 0x7F, *range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}


@given(st.text())
def test_value_stays_and_nothing_forbidden_is_left(text: str) -> None:
    line = escape(json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    assert json.loads(line) == text
    assert not FORBIDDEN & set(map(ord, line.decode()))


def test_every_forbidden_character_is_escaped_and_its_neighbours_are_not() -> None:
    for code in FORBIDDEN:
        assert escape(json.dumps(chr(code), ensure_ascii=False).encode()).isascii()
    for code in (0xA0, 0x61B, 0x61D, 0x200D, 0x2010, 0x2027, 0x202F, 0x2065, 0x206A):
        assert escape(chr(code).encode()) == chr(code).encode()
