import pytest

from p2pmsg.model.names import as_typed, fault_of_name, fault_of_text, nick_of


@pytest.mark.parametrize("name", ["Ann", "a", "Ann B.", "Zoë", "李小龍", "😀", "👩\u200d🚀", "x" * 64, "O'Brien", "#1", "שלום"])
def test_good_names(name: str) -> None:
    assert fault_of_name(name, 64) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "x" * 10_000,
        " ",
        " Ann",
        "Ann ",
        "\t",
        "An\nn",
        "An\0n",
        "\x1b[31mAnn",
        "Ann\x7f",
        "Ann\x9b",
        "An\u202en",
        "\u2066Ann",
        "An\u200fn",
        "An\u2028n",
        "\ud800",
        "\u200b",
        "\u0301",
        "me",
        "ME",
        "a~b",
        "a:b",
        "a/b",
    ],
)
def test_what_is_no_name(name: str) -> None:
    assert fault_of_name(name, 64) is not None


def test_a_device_may_have_what_a_person_may_not() -> None:
    assert fault_of_text("Ann's laptop: 2/3", 64) is None
    assert fault_of_text("me", 64) is None
    assert fault_of_text("An\u202en", 64) is not None


@pytest.mark.parametrize(
    ("name", "nick"),
    [("Ann", "Ann"), ("é" * 64, "é" * 32), ("x" * 63 + "é", "x" * 63), ("x" * 62 + " é", "x" * 62), ("日" * 30, "日" * 21)],
)
def test_a_nick_is_as_much_of_a_name_as_fits(name: str, nick: str) -> None:
    assert nick_of(name, 64) == nick and fault_of_name(nick, 64) is None


def test_what_is_typed_means_nothing_else_to_a_shell() -> None:
    account = "7f3a91c2" * 8
    assert as_typed("Bob-2", account) == "Bob-2" and as_typed("bob~7f3a91c2", account) == "bob~7f3a91c2"
    for name in ("$(reboot)", "Bob B.", "-n", "~bob", "a;b", "Grüße", ""):
        assert as_typed(name, account) == account[:16]
