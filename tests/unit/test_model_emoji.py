from p2pmsg.model.emoji import SYMBOLS, WORDS


def test_64_different_symbols_each_with_a_word_of_its_own() -> None:
    assert len(WORDS) == len(SYMBOLS) == len(set(WORDS)) == len(set(SYMBOLS)) == 64


def test_they_are_those_of_the_matrix_specification() -> None:
    table = dict(zip(SYMBOLS, WORDS, strict=True))
    assert (table["🐶"], table["👍"], table["💡"], table["✈️"], table["📌"]) == ("Dog", "Thumbs Up", "Light Bulb", "Aeroplane", "Pin")
    assert (WORDS.index("Hat"), WORDS.index("Thumbs Up"), WORDS.index("Hammer"), WORDS.index("Ball")) == (32, 36, 48, 56)
