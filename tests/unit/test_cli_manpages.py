"""The manual says what the help says, and man can read it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from p2pmsg.cli import manpages
from p2pmsg.cli.main import COMMANDS
from p2pmsg.cli.manpages import main, pages


def test_every_command_has_a_page(tmp_path: Path) -> None:
    assert main([str(tmp_path / "man1")]) == 0
    assert {path.name for path in (tmp_path / "man1").iterdir()} == {"p2pmsg.1", *(f"p2pmsg-{name}.1" for name in COMMANDS)}


@pytest.mark.parametrize("arguments", [[], ["-h"], ["a", "b"]])
def test_it_needs_a_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2 and "FOLDER" in capsys.readouterr().err


def test_the_first_page_has_every_command() -> None:
    page = pages()["p2pmsg.1"]
    assert ".B p2pmsg contact add" in page and ".B p2pmsg daemon install" in page and ".SH THIS MACHINE" in page
    assert page.index(".SH TALK") < page.index(".SH MORE") < page.index(".SH EXIT STATUS")


def test_a_page_has_options_and_the_example() -> None:
    page = pages()["p2pmsg-send.1"]
    assert ".B \\-\\-wait [sent|delivered|read]" in page and 'p2pmsg send bob "Lunch at noon?"' in page


@pytest.mark.parametrize(("words", "roff"), [(".x", "\\&.x"), ("a\\b", "a\\eb"), ("--x", "\\-\\-x"), ("it's", "it\\(aqs")])
def test_words_are_no_commands_of_roff(words: str, roff: str) -> None:
    assert manpages._plain(words) == roff


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="no man: apt-get install man-db groff-base")
def test_man_has_nothing_to_complain_of(tmp_path: Path) -> None:
    main([str(tmp_path)])
    env = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""}
    for page in sorted(tmp_path.iterdir()):
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", str(page)], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "") and "p2pmsg" in done.stdout
