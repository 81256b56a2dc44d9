from p2pmsg.model.ids import ID_BYTES, NO_EVENT, PREFIX_BYTES, short


def test_a_short_id_has_eight_characters() -> None:
    assert short(bytes(range(32))) == "00010203"


def test_no_event_is_an_id_like_any_other() -> None:
    assert len(NO_EVENT) == ID_BYTES == 4 * PREFIX_BYTES
