"""A real desktop session without a screen: a message bus of its own, and gnome-keyring with an open, empty keyring."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TOOLS = {"dbus-run-session": "dbus", "gnome-keyring-daemon": "gnome-keyring"}
SESSION_S = 60.0


class Session:
    """A desktop session: its keyring is open and empty."""

    def __init__(self, folder: Path) -> None:
        missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
        if missing:
            give_up = pytest.fail if os.environ.get("P2PMSG_REQUIRE_LAN") == "1" else pytest.skip
            give_up(f"tools are missing: apt-get install -y {' '.join(missing)}")
        self._environ = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_DATA_HOME": str(folder / "data")}

    def run(self, program: str) -> str:
        """Run Python in the session; return what it printed."""
        return self.shell('exec "$0" -c "$1"', sys.executable, textwrap.dedent(program))

    def shell(self, script: str, *arguments: str) -> str:
        """Run a script in the session; return what it printed."""
        unlock = 'printf pw | gnome-keyring-daemon --unlock --components=secrets --control-directory="$XDG_RUNTIME_DIR" >/dev/null 2>&1'
        command = ["dbus-run-session", "--", "sh", "-c", f"{unlock}; {script}", *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=SESSION_S)
        assert done.returncode == 0, done.stderr
        return done.stdout
