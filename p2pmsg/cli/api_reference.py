"""The local API's page in the documentation, made from the table of its methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import msgspec
from msgspec import inspect as types

from p2pmsg.rpc.api import ELSEWHERE, METHODS, Params

HEAD = """# The local API

For programs that talk to the daemon: bots, bridges, other faces. Made by `python -m p2pmsg.cli.reference`: change the words in
`p2pmsg/rpc/api.py`, not here.

* JSON-RPC 2.0, one object a line, over the Unix socket that `p2pmsg status --json` names as `socket`. It is mine alone (0600).
  Requests on one connection run side by side, so answers come in any order, by `id`.
* A method is a command with a dot, params are its arguments and long options by name. Results are the objects that the command prints
  with `--json`, a list where it prints several; a list has at most 1,000.
* Durations are numbers of seconds (`timeout_s`), times RFC 3339, paths absolute. There is neither `yes` nor `json`.
* What fails answers `{"code":-32000,"message","data":{"code","hint","candidates","exit_status"}}`, with the command's code and exit
  status. A line that is no request has JSON-RPC's own -32700 or -32600 in place of -32000, and no id.
* A method that asks sends `METHOD.ask` with an object and waits for `METHOD.answer {"line"}`.
* `watch` answers `{"cursor"}`, then sends notifications `watch.event`, each with its `cursor`: go on from the last one after a break.
* Picture files are not read: decode the QR code of an invite yourself, or use `contact add --image`. No picture is ever decoded in the
  daemon, which talks to strangers and holds the keys.

```python
import json, socket

with socket.socket(socket.AF_UNIX) as daemon:
    daemon.connect(SOCKET)
    daemon.sendall(b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"target":"bob","text":"hello"}}\\n')
    print(json.loads(daemon.makefile().readline())["result"]["state"])
```
"""
TAIL = "## Commands that are no methods\n"


def page() -> str:
    """Return the whole page."""
    reasons = "".join(f"* `{name}`: {why}.\n" for name, why in ELSEWHERE.items())
    return "\n".join([HEAD, *map(_section, METHODS), TAIL, reasons])


def _section(method: str) -> str:
    kind = METHODS[method]
    params = "".join(f"* {line}\n" for line in _params(kind))
    return f"## {method}\n\n{inspect.getdoc(kind)}\n{f'{chr(10)}{params}' if params else ''}"


def _params(kind: type[Params]) -> Iterator[str]:
    found = types.type_info(kind)
    assert isinstance(found, types.StructType)
    for each in found.fields:
        if each.required:
            default = ", needed"
        else:
            default = "" if each.default is None else f", default {msgspec.json.encode(each.default).decode()}"
        yield f"`{each.encode_name}`: {_said(each.type)}{default}"


def _said(kind: types.Type) -> str:
    """Return what a param may be, in words."""
    match kind:
        case types.UnionType(options):
            return " or ".join(_said(each) for each in options if not isinstance(each, types.NoneType))
        case types.LiteralType(values):
            return " or ".join(f'`"{each}"`' for each in values)
        case types.ListType(item):
            return f"list of {_said(item)}"
        case types.IntType():
            return f"whole number{'' if kind.ge is None else f' from {kind.ge}'}{'' if kind.le is None else f' to {kind.le}'}"
        case types.FloatType():
            return "number"
        case types.BoolType():
            return "`true` or `false`"
    return "text"
