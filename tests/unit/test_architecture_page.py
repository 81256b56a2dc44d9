"""architecture.md names layers and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import p2pmsg
from tests.unit.test_architecture import MAY_IMPORT, OPEN

PACKAGE = Path(p2pmsg.__file__).parent
PAGES = sorted((PACKAGE / "docs").glob("*.md"))
PAGE = (PACKAGE / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_table_of_layers_is_the_one_that_is_enforced() -> None:
    section = PAGE.split("\n## Layers\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)[/.].*?` \|.*\| (.*?) \|$", section, re.MULTILINE)
    assert {layer for layer, _ in rows} == set(MAY_IMPORT) - {"", "__main__"}
    for layer, listed in rows:
        if layer not in OPEN:
            allowed = set(re.findall(r"\w+", listed.split(";")[0])) & set(MAY_IMPORT)
            assert allowed == MAY_IMPORT[layer] - OPEN, layer


def test_files_exist() -> None:
    names = re.findall(r"`([\w/]+\.py)`", PAGE)
    files = {str(path.relative_to(root)) for root in (PACKAGE, PACKAGE.parent) for path in root.rglob("*.py")}
    assert [name for name in names if not any(file == name or file.endswith(f"/{name}") for file in files)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
