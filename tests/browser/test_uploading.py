"""Sending pictures in a real browser: chosen, dropped, without a script; and how it looks."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from gallery.models import Image
from gallery.tests.uploads import encoded, scene, with_infotext
from imagineer.models import User
from tests.browser.conftest import PHONE, WIDE, Visitor
from tests.browser.test_looking import violations

DROP = """async ([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, {type: "image/png"}));
  const event = (kind) => new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true});
  const drop = document.getElementById("drop");
  drop.dispatchEvent(event("dragover"));
  const over = drop.classList.contains("over");
  drop.dispatchEvent(event("drop"));
  return over;
}"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = {"fog.png": with_infotext(scene(2, (640, 420))), "hill.jpg": encoded(scene(5, (300, 400)), "JPEG")}
    made |= {"report.png": b"%PDF-1.7 not a picture", "fog again.png": made["fog.png"]}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in made]


def send(page: Page, files: list[Path]) -> Any:
    page.get_by_label("Choose pictures").set_input_files(files)
    page.get_by_role("button", name="Upload").click()
    return page.locator(".upload-item")


@pytest.mark.parametrize("look", ["light-1440", "dark-390"])
def test_files_are_sent_one_by_one(visit: Callable[..., Visitor], member: User, files: list[Path], look: str) -> None:
    scheme, width = look.split("-")
    visitor = visit(member, color_scheme=scheme, size=WIDE if width == "1440" else PHONE)
    page = visitor.open("/upload")
    assert violations(visitor, page) == []
    page.get_by_label("What they show").fill("a tower")
    items = send(page, files)
    expect(items).to_have_count(4)
    expect(page.get_by_text("Taken,")).to_have_count(2)
    expect(page.get_by_text("Not taken. It is a PDF document")).to_have_count(1)
    expect(page.get_by_text("You had this picture already")).to_have_count(1)
    expect(page.locator("#announcer")).to_have_text("Done with 4 files")
    assert Image.objects.filter(caption="a tower").count() == 2
    assert violations(visitor, page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= int(width)
    page.get_by_role("link", name="fog.png").first.click()
    expect(page.get_by_text("a lighthouse in fog")).to_be_visible()
    assert violations(visitor, page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= int(width)


def test_a_file_can_be_dropped(visit: Callable[..., Visitor], member: User, files: list[Path]) -> None:
    page = visit(member).open("/upload")
    assert page.evaluate(DROP, ["fog.png", base64.b64encode(files[0].read_bytes()).decode()]) is True
    expect(page.locator("#chosen")).to_contain_text("fog.png")
    expect(page.locator("#drop")).not_to_have_class("drop over")
    page.keyboard.press("Enter")  # the button has the focus
    expect(page.get_by_text("Taken,")).to_have_count(1)


def test_it_works_without_a_script(visit: Callable[..., Visitor], member: User, files: list[Path]) -> None:
    page = visit(member, java_script_enabled=False).open("/upload")
    items = send(page, files)
    expect(items).to_have_count(4)
    expect(page.get_by_text("Not taken. It is a PDF document")).to_have_count(1)
