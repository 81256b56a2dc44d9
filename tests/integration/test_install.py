"""Installed from a wheel and from the bundle, outside the checkout and without any index, it is the same program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pmsg import __version__
from tests.integration.daemons import Somebody, ended, until

CHECKOUT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/bin:/usr/bin:/bin"


class Installed(Somebody):
    """A person who uses a program that was installed somewhere."""

    program = Path()

    def popen(self, *words: str, **how: object) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.environ, "cwd": "/"}
        return subprocess.Popen([str(self.program), *words], **(pipes | how))  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    """The one file, and beside it the wheels that it holds."""
    made = run(sys.executable, "-I", CHECKOUT / "scripts" / "wheels.py", folder / "p2pmsg.pyz")
    assert made.strip() == str(folder / "p2pmsg.pyz")
    run(sys.executable, folder / "p2pmsg.pyz", "--wheels", folder / "wheels")
    return folder / "p2pmsg.pyz"


def run(*command: object, **environ: str) -> str:
    env = {"PATH": PATH, "HOME": "/nonexistent", **environ}
    done = subprocess.run([str(word) for word in command], env=env, cwd="/", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def alone(*command: object) -> tuple[object, ...]:
    """Return the command in a network namespace where there is not even loopback, where we may make one."""
    return ("unshare", "-n", *command) if os.geteuid() == 0 and shutil.which("unshare") else command


def two_talk(folder: Path, program: Path) -> None:
    """Two people with daemons started from this program become contacts and talk."""
    people = [Installed(folder / name, name.title()) for name in ("ann", "bob")]
    pids = []
    try:
        for somebody in people:
            somebody.program = program
            somebody.arrive()
            pids.append(somebody.pid)
            assert str(folder).encode() in Path(f"/proc/{somebody.pid}/cmdline").read_bytes()
        people[0].befriend(people[1])
        people[0].say(people[1], "from afar")
        until(lambda: people[1].texts(people[0]) == ["from afar"], "the message is there")
    finally:
        for somebody in people[: len(pids)]:
            somebody.stop()
    assert all(map(ended, pids))


def test_the_wheel_holds_what_is_no_code(bundle: Path) -> None:
    (wheel,) = (bundle.parent / "wheels").glob("p2pmsg-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    docs = {f"p2pmsg/docs/{page.name}" for page in (CHECKOUT / "p2pmsg" / "docs").iterdir()}
    assert docs | {"p2pmsg/py.typed", "p2pmsg/__main__.py"} <= names
    assert not any(name.startswith(("tests", "scripts")) for name in names)


def test_a_wheel_is_the_same_program(folder: Path, bundle: Path) -> None:
    venv = folder / "venv"
    run(sys.executable, "-I", "-m", "venv", venv)
    pip = [venv / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check", "-q"]
    run(*alone(*pip, "install", "--no-index", "--find-links", folder / "wheels", "p2pmsg"))
    run(*pip, "check")
    assert (venv / "share" / "man" / "man1" / "p2pmsg.1").exists()
    assert run(venv / "bin" / "p2pmsg", "--version") == f"p2pmsg {__version__}\n"
    two_talk(folder, venv / "bin" / "p2pmsg")


def test_the_bundle_installs_with_no_network_and_no_pip(folder: Path, bundle: Path) -> None:
    home = folder / "home"
    home.mkdir()
    base = os.path.realpath(sys.executable)
    for _ in range(2):  # again over what is there
        said = run(*alone(base, bundle), HOME=str(home))
    program = home / ".local" / "bin" / "p2pmsg"
    assert said.startswith(f"Installed p2pmsg {__version__}: {program}\n") and f"export PATH={program.parent}" in said
    assert (home / ".local" / "share" / "man" / "man1" / "p2pmsg.1").exists()
    assert sorted(path.name for path in (home / ".local" / "lib").iterdir()) == ["p2pmsg"]
    two_talk(home, program)


def test_a_bundle_for_another_python_says_so(folder: Path, bundle: Path) -> None:
    other = folder / "other.pyz"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(other, "w") as target:
        target.writestr("__main__.py", source.read("__main__.py"))
        target.writestr("made-for", "cp399 linux-x86_64\n")
    done = subprocess.run([sys.executable, str(other), "--to", str(folder / "x")], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[0].startswith("Error: this file is for Python 3.99")
    assert done.stderr.splitlines()[1] == "Try: apt-get install python3.99" and not (folder / "x").exists()


@pytest.mark.parametrize(("words", "status"), [(["-h"], 0), (["--from", "x"], 2), (["--to"], 2)])
def test_what_it_can_do(bundle: Path, words: list[str], status: int) -> None:
    done = subprocess.run([sys.executable, str(bundle), *words], capture_output=True, text=True)
    assert done.returncode == status and "--to FOLDER" in done.stderr


def test_a_place_that_cannot_be_written_is_a_sentence(bundle: Path) -> None:
    done = subprocess.run([sys.executable, str(bundle), "--to", "/proc/nowhere"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("Error: /proc") and "\nTry: " in done.stderr
