"""`config …` for clients of the local API: the same file and the same edits as the commands make, and they count at once.

Files are waited for aside, so that a lock that another program holds stops nobody else.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from pathlib import Path

from p2pmsg.config import edit
from p2pmsg.daemon.objects import Json
from p2pmsg.errors import InvalidValue
from p2pmsg.rpc import api


class Configuring:
    """The methods `config.…` of the local API."""

    changed: Callable[[], None] = staticmethod(lambda: None)
    """Has the daemon read the file again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def list(self, params: api.ConfigList) -> builtins.list[Json]:
        return await asyncio.to_thread(edit.list_, self._file)

    async def get(self, params: api.ConfigGet) -> Json:
        return await asyncio.to_thread(edit.get, self._file, params.key)

    async def set(self, params: api.ConfigSet) -> Json:
        """Change a setting, and take it up where that can be done at once. Raises: KeyNotFound, InvalidValue, and what `edit` does."""
        found = await asyncio.to_thread(edit.set_, self._file, params.key, words(params.value))
        self.changed()
        return found

    async def unset(self, params: api.ConfigUnset) -> Json:
        found = await asyncio.to_thread(edit.unset, self._file, params.key)
        self.changed()
        return found

    async def path(self, params: api.ConfigPath) -> Json:
        return edit.path(self._file)


def words(value: str | bool | int | builtins.list[str]) -> str:
    """Return a value as a person would type it, so that what `config.get` answers can be given back."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, list):
        return str(value)
    if any("," in item for item in value):
        raise InvalidValue("An item of a list has a comma, which parts items.")
    return ",".join(value)
