"""Installs p2pmsg from this file alone: no network, no pip, no venv.

    python3 p2pmsg-….pyz                  below ~/.local: the program is ~/.local/bin/p2pmsg
    python3 p2pmsg-….pyz --to FOLDER      below another folder
    python3 p2pmsg-….pyz --wheels FOLDER  only unpacks the wheels, for pip install --no-index --find-links FOLDER p2pmsg

Again, or with a newer file: what was installed is replaced, whole or not at all. To remove it delete FOLDER/lib/p2pmsg,
FOLDER/bin/p2pmsg and FOLDER/share/man/man1/p2pmsg.1. Identity and messages lie elsewhere and are not touched.
"""

from __future__ import annotations

import compileall
import io
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

LAUNCHER = """#!/bin/sh
python={python}
if [ ! -x "$python" ]; then
    echo "Error: p2pmsg was installed for $python, which is gone." >&2
    echo 'Try: install it again, from a bundle made for the Python that is here now' >&2
    exit 1
fi
exec "$python" -I {main} "$@"
"""


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 8):  # noqa: UP036  # whoever runs this has the Python that he has
        return fail("p2pmsg needs Python 3.11 or newer.", "apt-get install python3")
    own = zipfile.ZipFile(Path(sys.argv[0]))
    wheels = [name for name in own.namelist() if name.endswith(".whl")]
    if arguments[:1] == ["--wheels"] and len(arguments) == 2:
        for name in wheels:
            target = Path(arguments[1]) / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(own.read(name))
        return 0
    if arguments and not (arguments[0] == "--to" and len(arguments) == 2):
        sys.stderr.write(f"{__doc__}\n")
        return 0 if arguments[0] in ("-h", "--help") else 2
    wanted, machine = own.read("made-for").decode().split()
    if (found := right_python(wanted)) is None:
        version = f"{wanted[2]}.{wanted[3:]}"
        return fail(f"this file is for Python {version}, and this is {sys.version.split()[0]}.", f"apt-get install python{version}")
    if found != sys.executable:
        os.execv(found, [found, *sys.argv])
    if sysconfig.get_platform() != machine:
        return fail(f"this file is for {machine}, and this machine is {sysconfig.get_platform()}.", "a bundle made on such a machine")
    prefix = Path(arguments[1]).absolute() if arguments else Path.home() / ".local"
    try:
        return install(own, wheels, prefix)
    except OSError as error:
        return fail(f"{error.filename or prefix}: {error.strerror}.", "python3 FILE --to FOLDER, with a folder of your own")


def right_python(tag: str) -> str | None:
    """Return a Python of the version that the wheels are for: this one, or another on the PATH."""
    if f"cp{sys.version_info.major}{sys.version_info.minor}" == tag:
        return sys.executable
    return shutil.which(f"python{tag[2]}.{tag[3:]}")


def install(own: zipfile.ZipFile, wheels: list[str], prefix: Path) -> int:
    place = prefix / "lib" / "p2pmsg"
    fresh, old = place.with_name("p2pmsg.new"), place.with_name("p2pmsg.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in wheels:
        with zipfile.ZipFile(io.BytesIO(own.read(name))) as wheel:
            wheel.extractall(fresh, [entry for entry in wheel.namelist() if ".data/" not in entry])
    compileall.compile_dir(fresh, quiet=2)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    program = prefix / "bin" / "p2pmsg"
    write(
        program,
        LAUNCHER.format(python=shlex.quote(os.path.realpath(sys.executable)), main=shlex.quote(str(place / "p2pmsg" / "__main__.py"))),
    )
    for page in (place / "p2pmsg" / "docs").glob("*.1"):
        write(prefix / "share" / "man" / "man1" / page.name, page.read_text(encoding="utf-8"), 0o644)
    said = subprocess.run([str(program), "--version"], stdout=subprocess.PIPE, text=True)
    if said.returncode != 0:
        return fail("what was installed does not start, see above.", "report this")
    print(f"Installed {said.stdout.strip()}: {program}")
    if str(program.parent) not in os.environ.get("PATH", "").split(os.pathsep):
        print(f"Put it into your PATH: export PATH={shlex.quote(str(program.parent))}:$PATH")
    print("A daemon that runs goes on with what it was started from: p2pmsg daemon restart")
    return 0


def write(path: Path, text: str, mode: int = 0o755) -> None:
    """Replace a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(mode)
    temporary.replace(path)


def fail(message: str, hint: str) -> int:
    sys.stderr.write(f"Error: {message}\nTry: {hint}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
