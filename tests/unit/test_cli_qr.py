from __future__ import annotations

from pathlib import Path

import pytest
import segno
from PIL import Image

from p2pmsg.cli import qr
from p2pmsg.errors import FileNotFound, InviteMalformed

INVITE = "P2PMSG:" + "AB2C3D4E" * 14
LIGHT_ABOVE, LIGHT_BELOW = "█▀", "█▄"


def picture_of(drawing: str, light: int = 255) -> Image.Image:
    """Return what a camera sees of the drawing: blocks are light."""
    lines = drawing.replace(qr.BLACK_ON_WHITE, "").replace(qr.PLAIN, "").split("\n")
    picture = Image.new("L", (len(lines[0]), 2 * len(lines)), 255 - light)
    for row, line in enumerate(lines):
        for column, block in enumerate(line):
            picture.putpixel((column, 2 * row), light if block in LIGHT_ABOVE else 255 - light)
            picture.putpixel((column, 2 * row + 1), light if block in LIGHT_BELOW else 255 - light)
    return picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST)


@pytest.mark.parametrize("light", [255, 0])
def test_a_camera_reads_what_the_terminal_shows_light_or_dark(tmp_path: Path, light: int) -> None:
    picture_of(qr.drawing(INVITE), light).save(tmp_path / "photo.png")
    assert qr.read(tmp_path / "photo.png") == INVITE


def test_the_longest_invite_fits_80_by_24() -> None:
    lines = qr.drawing("P2PMSG:" + "A" * 113).replace(qr.BLACK_ON_WHITE, "").replace(qr.PLAIN, "").split("\n")
    assert len(lines) <= 22 and {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) < 80


@pytest.mark.parametrize(
    ("environ", "colour"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_only_where_wanted(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], colour: bool) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in qr.drawing(INVITE)) == colour


def test_a_photo_turned_and_small(tmp_path: Path) -> None:
    segno.make_qr(INVITE).save(str(tmp_path / "qr.png"), scale=4)
    Image.open(tmp_path / "qr.png").convert("RGB").rotate(90).save(tmp_path / "photo.jpg", quality=60)
    assert qr.read(tmp_path / "photo.jpg") == INVITE


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFound):
        qr.read(tmp_path / "none.png")


def rubbish(folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.png" for name in ("empty", "text", "cut", "blank", "other", "two", "huge")}
    files["empty"].touch()
    files["text"].write_text("P2PMSG:ABC")
    segno.make_qr(INVITE).save(str(files["cut"]), scale=4)
    files["cut"].write_bytes(files["cut"].read_bytes()[:150])
    Image.new("L", (100, 100), 255).save(files["blank"])
    segno.make_qr("https://example.org").save(str(files["other"]), scale=4)
    sheet = Image.new("L", (500, 250), 255)
    for number, words in enumerate((INVITE, INVITE[:-1])):
        segno.make_qr(words).save(str(files["two"]), scale=4)
        sheet.paste(Image.open(files["two"]).convert("L"), (250 * number, 0))
    sheet.save(files["two"])
    Image.new("1", (20_000, 20_000)).save(files["huge"])
    return files | {"folder": folder}


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "blank", "other", "two", "huge", "folder"])
def test_a_picture_without_one_invite(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InviteMalformed):
        qr.read(rubbish(tmp_path)[kind])
