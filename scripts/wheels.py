"""Wheels of p2pmsg and of all that it needs, from the environment that runs this, and one file that holds them.

    wheels.py [FILE]            the file that installs without a network (scripts/bundle)
    wheels.py --folder FOLDER   the wheels alone, for pip install --no-index --find-links FOLDER p2pmsg

What is installed is packed again as it was unpacked: nothing is asked of any index. The same input gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "p2pmsg")
OF_THE_INSTALLER = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"}
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--folder"] and len(arguments) == 2:
        make_wheels(Path(arguments[1]))
        return 0
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        wheels = make_wheels(Path(scratch))
        target = Path(arguments[0]) if arguments else ROOT / "dist" / f"{name_of(wheels[0])}.pyz"
        target.parent.mkdir(parents=True, exist_ok=True)
        bundle(wheels, target)
    print(target)
    return 0


def make_wheels(folder: Path) -> list[Path]:
    """Make our own wheel, which comes first, and those of everything that it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    own = build(folder)
    with zipfile.ZipFile(own) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        lines = wheel.read(metadata).decode().partition("\n\n")[0].splitlines()
    needs = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    return [own, *(repack(found, folder) for found in closure(needs))]


def build(folder: Path) -> Path:
    """Build our own wheel from a copy: the checkout may be read-only, and stays as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "p2pmsg"
        copy.mkdir()
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        pip = [sys.executable, "-I", "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-index", "--no-deps"]
        command = [*pip, "--no-build-isolation", "-w", str(folder), str(copy)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=2, env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"})
    return next(folder.glob("p2pmsg-*.whl"))


def closure(needs: list[str]) -> list[Distribution]:
    """Return what is installed of these requirements and of theirs, sorted by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(need) for need in needs]
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if name in found or (need.marker is not None and not need.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution(name)
        waiting += [Requirement(text) for text in found[name].requires or ()]
    return [found[name] for name in sorted(found)]


def repack(installed: Distribution, folder: Path) -> Path:
    """Pack an installed distribution as the wheel it came from; scripts are left out, as its entry points make them again."""
    files = [file for file in installed.files or () if ".." not in file.parts and file.suffix != ".pyc"]
    info = next(file.parts[0] for file in files if file.parts[0].endswith(".dist-info"))
    tags = [line.removeprefix("Tag: ").split("-") for line in (installed.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")]
    tag = "-".join(".".join(sorted(set(column))) for column in zip(*tags, strict=True))
    target = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    record: list[str] = []
    with zipfile.ZipFile(target, "w") as wheel:
        for file in sorted(files, key=str):
            if file.parts[0] == info and file.name in OF_THE_INSTALLER:
                continue
            data = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{file.as_posix()},sha256={digest},{len(data)}")
            add(wheel, file.as_posix(), data)
        add(wheel, f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]).encode())
    return target


def add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def name_of(wheels: Path) -> str:
    """Return what a bundle is called: program, version, Python and machine."""
    return "-".join((*wheels.name.split("-")[:2], python_tag(), sysconfig.get_platform().replace("-", "_").replace(".", "_")))


def python_tag() -> str:
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def bundle(wheels: list[Path], target: Path) -> None:
    """Write the file that installs: a program for Python and the wheels, in one archive."""
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as archive:
            add(archive, "__main__.py", (ROOT / "scripts" / "unbundle.py").read_bytes())
            add(archive, "made-for", f"{python_tag()} {sysconfig.get_platform()}\n".encode())
            for wheel in wheels:
                add(archive, f"wheels/{wheel.name}", wheel.read_bytes())
    target.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
