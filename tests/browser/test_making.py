"""The main job, as people do it: from a prompt to a picture that a visitor sees."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from gallery.models import Generation, Image
from imagineer.models import User
from tests.browser.conftest import PHONE, Site, Visitor

MADE = 90_000  # milliseconds a small job may take on a busy machine, with the model's first load


@pytest.fixture
def working(site: Site) -> Site:
    site.studio.start("generation")
    site.studio.wait_ready()
    return site


def ask(page: Page, prompt: str, steps: int = 20) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.locator("#more > summary").click()
    page.get_by_label("Steps").fill(str(steps))
    page.get_by_role("button", name="Generate").click()


def test_from_a_prompt_to_a_picture_that_a_visitor_sees(
    working: Site, visit: Callable[..., Visitor], member: User
) -> None:
    page = visit(member).open("/create")
    ask(page, "a red apple on a table", steps=60)
    card = page.locator(".card").first
    expect(card.locator(".state")).to_have_text(re.compile("Queued|Running"))
    expect(card.locator("progress")).to_be_visible(timeout=MADE)
    expect(card).to_have_attribute("data-status", "succeeded", timeout=MADE)
    expect(page.locator("#announcer")).to_have_text("Your pictures are ready")
    picture = card.locator(".card-picture img")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('.card-picture img').naturalWidth > 0")
    visitor = visit().open("/")
    expect(visitor.get_by_text("No public pictures yet")).to_be_visible()
    card.get_by_role("button", name="Publish").click()
    expect(card.get_by_role("button", name="Public")).to_be_visible()
    visitor.reload()
    visitor.locator(".tile").click()
    expect(visitor.locator("#prompt-text")).to_have_text("a red apple on a table")
    visitor.wait_for_function("document.querySelector('.stage-picture').naturalWidth > 0")
    expect(visitor.get_by_role("button", name="Move to the trash")).to_have_count(0)


def test_without_javascript(working: Site, visit: Callable[..., Visitor], member: User) -> None:
    page = visit(member, java_script_enabled=False).open("/create")
    page.get_by_label("Prompt", exact=True).fill("a green leaf")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".card").first).to_have_attribute("data-status", "succeeded", timeout=MADE)
    page.get_by_role("button", name="Publish").click()
    assert Image.objects.get().visibility == "public"


def test_a_running_job_is_cancelled_from_the_panel(working: Site, visit: Callable[..., Visitor], member: User) -> None:
    page = visit(member).open("/create")
    ask(page, "a slow picture", steps=150)
    ask_again = page.locator("#count")
    ask_again.fill("16")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#queue-badge .count-badge")).to_contain_text("2")
    page.locator("#queue-menu > summary").click()
    panel = page.locator("#queue-panel")
    for left in (1, 0):
        panel.get_by_role("button", name="Cancel this job", disabled=False).first.click()
        expect(panel.get_by_role("button", name="Cancel this job", disabled=False)).to_have_count(left)
    expect(page.locator("#queue-panel")).to_contain_text("Nothing is waiting or running.", timeout=20_000)
    expect(page.locator('.card[data-status="cancelled"]')).to_have_count(2, timeout=20_000)
    assert not Generation.objects.active().exists()


def test_mistakes_stay_beside_their_fields(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    visitor = visit(member, size=PHONE)
    page = visitor.open("/create")
    ask(page, "a red apple", steps=151)
    expect(page.locator("#steps-error")).to_contain_text("Steps is 151; it must be from 1 to 150.")
    expect(page.locator("#steps")).to_be_focused()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red apple")
    page.get_by_label("Steps").fill("12")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#steps-error")).to_have_count(0)
    refusals = [complaint for complaint in visitor.complaints if "422 (Unprocessable Entity)" in complaint]
    assert len(refusals) == 1  # Chromium counts the refused form as an error
    visitor.complaints.remove(refusals[0])
