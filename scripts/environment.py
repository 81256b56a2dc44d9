"""Make or renew the environment of this checkout and run something in it.

    environment.py run ARGUMENTS…    the CLI (scripts/p2pmsg comes here when its short way does not hold)
    environment.py develop           print the environment's Python; it has what the tests need, too

The environment is `.venv` in the checkout, or one of the user's own where the checkout is not his to write. A stamp in it names what
was installed. The lock file beside it says while one is being made, so that one left half made (Ctrl-C, a full disk) is begun anew,
while one that somebody made by hand is used. First uses may race.
Runs before anything is installed: nothing but the standard library, and no module of p2pmsg.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn, TextIO

ROOT = Path(__file__).resolve().parent.parent
STAMP = "p2pmsg-ready"
DEVELOP_STAMP = "p2pmsg-ready-develop"
MAKING = "being made\n"


def main(arguments: list[str]) -> NoReturn:
    develop = arguments[:1] == ["develop"]
    runtime, extra = wanted()
    environment = place()
    python = environment / "bin" / "python"
    if not stands(environment, runtime, extra if develop else None):
        with_lock(environment, runtime, extra if develop else None)
    if develop:
        print(python)
        sys.exit(0)
    os.execv(python, [str(python), "-I", str(ROOT / "p2pmsg" / "__main__.py"), *arguments[1:]])


def wanted() -> tuple[list[str], list[str]]:
    """Return what p2pmsg needs and what its tests need on top, as pyproject.toml lists them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["dependencies"], project["dependency-groups"]["dev"]


def place() -> Path:
    """Return where the environment is or belongs: in the checkout if we may write there (or it stands), else in the user's cache."""
    own = ROOT / ".venv"
    usable = os.access(own / "bin" / "python", os.X_OK)
    if own.exists():
        mine = own.stat().st_uid == os.geteuid() or os.geteuid() == 0
        if (mine and os.access(own, os.W_OK)) or (usable and stamped(own, STAMP, wanted()[0])):
            return own
    elif os.access(ROOT, os.W_OK):
        return own
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return home / "p2pmsg" / ROOT.relative_to("/") / ".venv"


def stands(environment: Path, runtime: list[str], extra: list[str] | None) -> bool:
    """Say whether all that is wanted is installed, and refresh the stamp on which the short way of scripts/p2pmsg goes."""
    if not os.access(environment / "bin" / "python", os.X_OK) or not stamped(environment, STAMP, runtime):
        return False
    if extra is not None and not stamped(environment, DEVELOP_STAMP, runtime + extra):
        return False
    if os.access(environment / STAMP, os.W_OK):
        os.utime(environment / STAMP)
    return True


def stamped(environment: Path, stamp: str, names: list[str]) -> bool:
    try:
        return (environment / stamp).read_text(encoding="utf-8").splitlines() == names
    except (OSError, ValueError):
        return False


def with_lock(environment: Path, runtime: list[str], extra: list[str] | None) -> None:
    """Make the environment, unless another first use did so while we waited for it."""
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        with environment.with_name(".venv.lock").open("a+", encoding="utf-8") as lock:
            wait_for(lock)
            if not stands(environment, runtime, extra):
                lock.seek(0)
                half_made = lock.read() != ""
                lock.write(MAKING)
                lock.flush()
                make(environment, runtime, extra, anew=half_made or not works(environment))
                lock.truncate(0)
    except OSError as error:
        where = error.filename or environment
        fail(f"the environment could not be made: {where}: {error.strerror or error}", f"see that {environment.parent} can be written to")


def wait_for(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("p2pmsg: the environment is being prepared by another call; waiting for it ...")
        fcntl.flock(lock, fcntl.LOCK_EX)


def make(environment: Path, runtime: list[str], extra: list[str] | None, *, anew: bool) -> None:
    say(f"p2pmsg: preparing {environment} (first use or new dependencies; about 15 s) ...")
    for stamp in (STAMP, DEVELOP_STAMP):
        (environment / stamp).unlink(missing_ok=True)
    if anew:
        if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
            fail("this Python cannot make environments: its venv module is missing", "apt-get install python3-venv")
        # the real path: an environment must notice when its Python is replaced by a newer one
        base = os.path.realpath(sys.executable)
        run([base, "-I", "-m", "venv", "--clear", str(environment)], "Python's venv failed, see above", "apt-get install python3-venv")
    install(environment, runtime)
    (environment / STAMP).write_text("\n".join(runtime), encoding="utf-8")
    if extra is not None:
        install(environment, extra)
        (environment / DEVELOP_STAMP).write_text("\n".join(runtime + extra), encoding="utf-8")


def works(environment: Path) -> bool:
    command = [str(environment / "bin" / "python"), "-I", "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    except OSError:
        return False


def install(environment: Path, names: list[str]) -> None:
    if not names:
        return
    pip = [str(environment / "bin" / "python"), "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    run(
        [*pip, *names],
        "pip could not install what p2pmsg needs, see above",
        "the same command again once this machine reaches the Internet",
    )


def run(command: list[str], failed: str, hint: str) -> None:
    """Run a step with its output on stderr; what it makes can be read by every user."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, umask=0o022)
    if done.returncode != 0:
        fail(failed, hint)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fail(message: str, hint: str) -> NoReturn:
    say(f"Error: {message}.\nTry: {hint}")
    sys.exit(1)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
