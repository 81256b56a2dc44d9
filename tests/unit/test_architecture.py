"""The layers hold: who may import whom (DESIGN 3), with nobody excepted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "p2pmsg"
OPEN = {"", "model", "errors", "config"}
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "model": {"errors"},
    "config": {"errors", "model"},
    "crypto": OPEN,
    "protocol": OPEN | {"crypto"},
    "storage": OPEN | {"protocol", "crypto"},
    "network": OPEN | {"protocol", "crypto"},
    "rpc": OPEN,
    "daemon": OPEN | {"network", "storage", "protocol", "crypto", "rpc"},
    "cli": OPEN | {"rpc"},
    "__main__": {"cli"},
}
ONLY_IN: dict[str, set[str]] = {
    "aioquic": {"network"},
    "zeroconf": {"network"},
    "ifaddr": {"network"},
    "sqlite3": {"storage"},
    "sqlcipher3": {"storage"},
    "sqlite_utils": {"storage"},
    "click": {"cli"},
    "segno": {"cli"},
    "zxingcpp": {"cli"},
    "PIL": {"cli"},
    "nacl": {"crypto"},
    "cryptography": {"crypto", "network"},
}
IMPURE = {"asyncio", "socket", "time", "os", "random", "secrets", "logging", "threading", "subprocess", "pathlib", "io"}
LIGHT = ["errors", "config/limits", "rpc/client", "rpc/locate", "cli/main"]
HEAVY = {"asyncio", "msgspec", "cryptography", "nacl", "aioquic", "zeroconf", "ssl", "sqlite3", "tomlkit"}

UNTESTED = {
    "__main__.py",  # every test of the CLI as a process runs it
    "config/limits.py",  # numbers
    "network/listener.py",  # protocols and numbers
    "protocol/messages.py",  # data
}
"""Files that have no test file of their own: there is nothing in them to go wrong."""


@dataclass(frozen=True, slots=True)
class Import:
    source: Path
    layer: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.source.relative_to(PACKAGE)}:{self.line} imports {self.target}"


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(source: Path) -> str:
    first = source.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def imports(source: Path) -> Iterator[Import]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    lazy = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for inner in ast.walk(node)}
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for target in targets(node, source):
            yield Import(source, layer_of(source), target, getattr(node, "lineno", 0), id(node) in lazy | for_types)


def targets(node: ast.AST, source: Path) -> Iterator[str]:
    """Yield the modules that a statement imports; of `from p2pmsg import x`, `p2pmsg.x`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{source}:{node.lineno}: relative import"
        assert node.module is not None
        whole = node.module != "p2pmsg"
        yield from [node.module] if whole else (f"p2pmsg.{alias.name}" for alias in node.names)


ALL = [found for source in sources() for found in imports(source)]


def layer_imported(target: str) -> str | None:
    """Return the layer of p2pmsg that a module belongs to, "" for the package itself, None for other people's modules."""
    if target.split(".")[0] != "p2pmsg":
        return None
    first = target.split(".")[1] if "." in target else ""
    return first if first in MAY_IMPORT else ""


def test_every_file_belongs_to_a_layer() -> None:
    assert {layer_of(source) for source in sources()} <= set(MAY_IMPORT)


def test_layers_import_only_what_they_may() -> None:
    wrong = []
    for found in ALL:
        target = layer_imported(found.target)
        if target is None or target == found.layer or target in MAY_IMPORT[found.layer]:
            continue
        if not (found.layer == "cli" and target == "daemon" and found.lazy):
            wrong.append(str(found))
    assert wrong == []


@pytest.mark.parametrize("module", ONLY_IN)
def test_a_library_is_used_in_its_layer_alone(module: str) -> None:
    assert [str(found) for found in ALL if found.target.split(".")[0] == module and found.layer not in ONLY_IN[module]] == []


def test_protocol_is_pure() -> None:
    assert [str(found) for found in ALL if found.layer == "protocol" and found.target.split(".")[0] in IMPURE] == []


def test_what_every_call_of_the_cli_loads_stays_light() -> None:
    watched = {PACKAGE / f"{name}.py" for name in LIGHT}
    assert [str(found) for found in ALL if found.source in watched and not found.lazy and found.target.split(".")[0] in HEAVY] == []


def domain_strings() -> Iterator[tuple[bytes, Path]]:
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes) and node.value.startswith(b"p2pmsg/1/"):
                yield node.value, source


def test_every_domain_string_stands_once_and_in_the_table() -> None:
    found = list(domain_strings())
    values = [value for value, _ in found]
    assert {source.relative_to(PACKAGE).as_posix() for _, source in found} == {"crypto/domains.py"}
    assert sorted(values) == sorted(set(values))
    assert [value for value in values if not value.endswith(b"\0") or b"\0" in value[:-1]] == []


def test_every_domain_string_is_used() -> None:
    table = ast.parse((PACKAGE / "crypto/domains.py").read_text(encoding="utf-8"))
    names = [node.target.id for node in table.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    code = "\n".join(source.read_text(encoding="utf-8") for source in sources())
    assert names
    assert [name for name in names if f"domains.{name}" not in code] == []


def test_every_source_file_has_a_test_file_of_its_own() -> None:
    """`test_LAYER_NAME.py`, or `test_NAME.py` where no other file of that name has it."""
    tests = Path(__file__).parent
    wanted = [source.relative_to(PACKAGE) for source in sources() if source.name != "__init__.py"]
    wanted = [source for source in wanted if source.as_posix() not in UNTESTED]
    own = [f"test_{source.parts[0].removesuffix('.py')}_{source.stem}.py" for source in wanted]
    shared = [f"test_{source.stem}.py" for source, name in zip(wanted, own, strict=True) if not (tests / name).exists()]
    assert [name for name in shared if not (tests / name).exists()] == []
    assert sorted(shared) == sorted(set(shared))


def test_what_is_exempt_exists() -> None:
    assert [name for name in UNTESTED if not (PACKAGE / name).exists()] == []
