"""`scripts/p2pmsg` in copies of the checkout that need nothing from a registry: what it does before there is an environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY = 65534
PATH = "/usr/local/bin:/usr/bin:/bin"
PROJECT = "[project]\nname = 'x'\ndependencies = [{}]\n[dependency-groups]\ndev = []\n"
PROGRAM = "import sys\nprint(sys.prefix, *sys.argv[1:], sep='|')\n"


class Copy:
    """A checkout whose program prints its environment and its arguments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "p2pmsg").mkdir(parents=True)
        shutil.copytree(CHECKOUT / "scripts", root / "scripts")
        self.needs("")
        (root / "p2pmsg" / "__main__.py").write_text(PROGRAM)

    def needs(self, dependencies: str) -> None:
        (self.root / "pyproject.toml").write_text(PROJECT.format(dependencies))

    @property
    def environment(self) -> Path:
        return self.root / ".venv"

    def start(
        self, *arguments: str, user: int | None = None, path: str = PATH, program: Path | None = None, **environ: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(program or self.root / "scripts" / "p2pmsg"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            env={"PATH": path, "HOME": str(self.root.parent / "home"), **environ},
        )

    def run(
        self, *arguments: str, user: int | None = None, path: str = PATH, program: Path | None = None, **environ: str
    ) -> tuple[int, str, str]:
        with self.start(*arguments, user=user, path=path, program=program, **environ) as started:
            out, err = started.communicate(timeout=120)
        return started.returncode, out, err


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, with a home for one in it."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / "home", NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def copy(folder: Path) -> Copy:
    return Copy(folder / "check out")


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """An environment made by a first use, to be copied: making one takes seconds."""
    folder = Path(tempfile.mkdtemp(prefix="p2p-"))
    made = Copy(folder / "made")
    assert made.run()[0] == 0
    yield made.environment
    shutil.rmtree(folder)


@pytest.fixture
def ready(copy: Copy, template: Path) -> Copy:
    """A copy with an environment that stands."""
    shutil.copytree(template, copy.environment, symlinks=True)
    os.utime(copy.environment / "p2pmsg-ready")
    return copy


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: sudo scripts/test")


# -- first use


def test_three_first_uses_at_once_make_one_environment(copy: Copy) -> None:
    started = [copy.start("say", str(number)) for number in range(3)]
    ended = [each.communicate(timeout=120) for each in started]
    assert [each.returncode for each in started] == [0, 0, 0]
    assert [out for out, _ in ended] == [f"{copy.environment}|say|{number}\n" for number in range(3)]
    assert "".join(err for _, err in ended).count("preparing") == 1


def test_one_that_was_interrupted_is_begun_anew(copy: Copy) -> None:
    with copy.start() as started:
        assert started.stderr is not None
        assert "preparing" in started.stderr.readline()
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=60)
    assert started.returncode == 130
    (copy.environment / "left over").mkdir(parents=True, exist_ok=True)
    assert copy.run("again") == (0, f"{copy.environment}|again\n", copy_says(copy))
    assert not (copy.environment / "left over").exists()


def test_one_that_was_killed_while_it_installed_is_begun_anew(ready: Copy) -> None:
    (ready.environment / "p2pmsg-ready").unlink()
    (ready.root / ".venv.lock").write_text("being made\n")
    (ready.environment / "left over").touch()
    assert ready.run("again")[:2] == (0, f"{ready.environment}|again\n")
    assert not (ready.environment / "left over").exists()


@pytest.mark.parametrize("made", ["nothing in it", "no pip", "a dead link"])
def test_a_folder_that_is_no_environment_becomes_one(copy: Copy, made: str) -> None:
    (copy.environment / "bin").mkdir(parents=True)
    if made != "nothing in it":
        target = "/bin/false" if made == "no pip" else "/nowhere/python"
        (copy.environment / "bin" / "python").symlink_to(target)
    assert copy.run("x")[:2] == (0, f"{copy.environment}|x\n")


def test_an_environment_that_somebody_made_by_hand_is_used(ready: Copy) -> None:
    (ready.environment / "p2pmsg-ready").unlink()
    (ready.environment / "mine").touch()
    assert ready.run("x")[:2] == (0, f"{ready.environment}|x\n")
    assert (ready.environment / "mine").exists()


# -- afterwards


def test_once_it_stands_nothing_is_said_and_nothing_is_asked(ready: Copy) -> None:
    (ready.root / "scripts" / "environment.py").unlink()  # the short way does without
    assert ready.run("a b", "", "$c", "--json") == (0, f"{ready.environment}|a b||$c|--json\n", "")


def test_a_link_to_the_script_is_followed(ready: Copy, folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "first").symlink_to("second")
    (folder / "bin" / "second").symlink_to(ready.root / "scripts" / "p2pmsg")
    assert ready.run("x", program=folder / "bin" / "first")[1].endswith("|x\n")


def test_other_lines_of_the_project_file_install_nothing(ready: Copy) -> None:
    with (ready.root / "pyproject.toml").open("a") as file:
        file.write("# more\n")
    future = (ready.environment / "p2pmsg-ready").stat().st_mtime + 5
    os.utime(ready.root / "pyproject.toml", (future, future))
    assert ready.run("x") == (0, f"{ready.environment}|x\n", "")


def test_new_dependencies_are_installed_into_the_same_environment(ready: Copy) -> None:
    (ready.environment / "mine").touch()
    ready.needs("'pip'")
    assert ready.run("x", PIP_NO_INDEX="1")[::2] == (0, copy_says(ready))
    assert (ready.environment / "mine").exists()
    assert ready.run("x")[2] == ""


def test_what_cannot_be_installed_is_a_sentence_and_can_be_mended(ready: Copy) -> None:
    ready.needs("'no-such-thing'")
    status, out, err = ready.run("x", PIP_NO_INDEX="1")
    assert (status, out) == (1, "")
    assert "Error: pip could not install what p2pmsg needs" in err
    assert "\nTry: " in err
    ready.needs("")
    assert ready.run("x")[0] == 0


# -- other machines


@pytest.mark.parametrize("pythons", ["none", "old"])
def test_without_a_python_it_says_what_to_install(copy: Copy, folder: Path, pythons: str) -> None:
    (folder / "bin").mkdir()
    if pythons == "old":
        (folder / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
        (folder / "bin" / "python3").chmod(0o755)
    status, out, err = copy.run("x", path=str(folder / "bin"))
    assert (status, out) == (1, "")
    assert err == "Error: p2pmsg needs Python 3.11 or newer, and none was found.\nTry: apt-get install python3 python3-venv\n"


def test_without_venv_it_says_what_to_install(copy: Copy, folder: Path) -> None:
    real = shutil.which("python3", path=PATH)
    code = "import sys, runpy; sys.modules['ensurepip'] = None; del sys.argv[0:2]; runpy.run_path(sys.argv[0], run_name='__main__')"
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").write_text(f'#!/bin/sh\n[ "$1" = -I ] || exec {real} "$@"\nexec {real} -c "{code}" "$@"\n')
    (folder / "bin" / "python3").chmod(0o755)
    status, out, err = copy.run("x", path=f"{folder / 'bin'}")
    assert (status, out) == (1, "")
    assert err.endswith("Error: this Python cannot make environments: its venv module is missing.\nTry: apt-get install python3-venv\n")


@as_root
def test_a_checkout_that_is_not_mine_to_write_gets_an_environment_of_my_own(copy: Copy, folder: Path) -> None:
    own = folder / "home" / ".cache" / f"p2pmsg{copy.root}" / ".venv"
    assert copy.run("x", user=NOBODY)[:2] == (0, f"{own}|x\n")
    assert copy.run("x", user=NOBODY) == (0, f"{own}|x\n", "")
    (copy.root / "scripts" / "environment.py").unlink()  # the short way holds here, too
    assert copy.run("x", user=NOBODY, XDG_CACHE_HOME=str(folder / "home" / ".cache")) == (0, f"{own}|x\n", "")


@as_root
def test_an_environment_that_root_made_serves_everybody(ready: Copy) -> None:
    assert ready.run("x", user=NOBODY) == (0, f"{ready.environment}|x\n", "")


@as_root
def test_one_that_root_made_and_that_is_old_is_left_to_root(ready: Copy, folder: Path) -> None:
    ready.needs("'pip'")
    status, out, _ = ready.run("x", user=NOBODY, PIP_NO_INDEX="1")
    assert status == 0
    assert out.startswith(str(folder / "home"))


@as_root
def test_nowhere_to_write_is_a_sentence(copy: Copy) -> None:
    status, out, err = copy.run("x", user=NOBODY, XDG_CACHE_HOME="/proc/nowhere")
    assert (status, out) == (1, "")
    assert err.startswith("Error: the environment could not be made: /proc/nowhere")


def copy_says(copy: Copy) -> str:
    return f"p2pmsg: preparing {copy.environment} (first use or new dependencies; about 15 s) ...\n"
