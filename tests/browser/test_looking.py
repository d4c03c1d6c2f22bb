"""Lists, keys, themes and the form's state, in a real browser."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from gallery.models import DiffusionModel, Generation, Image
from gallery.services.registry import ensure_starter
from gallery.tests.makers import make_generation, make_image, make_lora, make_model
from imagineer.models import User
from tests.browser.conftest import PHONE, WIDE, Site, Visitor

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
SIZES = [(160, 120), (120, 160), (160, 90), (128, 128), (240, 100), (90, 160)]
LAYOUT_SHIFT = """() => new Promise(done => {
  let total = 0;
  new PerformanceObserver(list => { for (const entry of list.getEntries()) total += entry.value; })
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(total), 500);
})"""


def fill(site: Site, owner: User, count: int, **fields: Any) -> list[Image]:
    """Public pictures of many shapes, the first the newest."""
    known = {"visibility": "public", "rating": "safe", "alt": "An owl in a lantern's light"}
    now = timezone.now()
    return [
        make_image(
            site.studio.root,
            size=SIZES[number % len(SIZES)],
            owner=owner,
            created_at=now - timedelta(minutes=number),
            **{**known, **fields},
        )
        for number in range(count)
    ]


# Lists ---------------------------------------------------------------------------------------------------------------


def test_scrolling_goes_on_and_back_comes_back(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    fill(site, member, 90)
    page = visit().open("/")
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(40)
    assert page.evaluate(LAYOUT_SHIFT) < 0.02
    page.mouse.wheel(0, 20_000)
    expect(tiles).to_have_count(80)
    expect(page).to_have_url(re.compile(r"\?pages=2$"))
    tiles.nth(70).scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    tiles.nth(70).click()
    expect(page.locator(".stage-picture")).to_be_visible()
    page.go_back()
    expect(tiles.nth(70)).to_be_in_viewport()
    assert abs(page.evaluate("scrollY") - before) < 400


def test_rows_are_justified_and_nothing_sticks_out(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    fill(site, member, 14)
    for size in (WIDE, PHONE):
        page = visit(size=size).open("/")
        boxes = [tile.bounding_box() for tile in page.locator(".tile").all()]
        rows: dict[int, list[Any]] = {}
        for box in boxes:
            rows.setdefault(round(box["y"]), []).append(box)
        assert all(max(b["height"] for b in row) - min(b["height"] for b in row) < 3 for row in rows.values())
        assert max(box["x"] + box["width"] for box in boxes) <= size["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


# Keys ----------------------------------------------------------------------------------------------------------------


def test_everything_goes_by_keyboard(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    first, second, *_ = fill(site, member, 6)
    page = visit(member).open("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".tile").nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(str(first.pk)))
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(str(second.pk)))
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(str(first.pk)))
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page).to_have_url(re.compile("/create"))
    page.keyboard.type("an owl? g m")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("an owl? g m")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".card")).to_have_count(1)
    assert Generation.objects.get().prompt == "an owl? g m"


def test_menus_close_by_escape_and_by_a_click_beside_them(
    site: Site, visit: Callable[..., Visitor], member: User
) -> None:
    page = visit(member).open("/")
    summary = page.locator("#queue-menu > summary")
    summary.press("Enter")
    expect(page.locator("#queue-panel")).to_contain_text("Nothing is waiting or running.")
    page.keyboard.press("Escape")
    expect(page.locator("#queue-panel")).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.mouse.click(300, 600)
    expect(page.locator("#queue-panel")).to_be_hidden()


def test_a_slash_goes_to_the_search(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    fill(site, member, 2)
    page = visit().open("/")
    page.keyboard.press("/")
    page.keyboard.type("lantern owl/")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/search\?q=lantern"))
    expect(page.locator(".tile")).to_have_count(2)
    page = visit(size=PHONE).open("/")
    page.keyboard.press("/")
    expect(page).to_have_url(re.compile(r"/search$"))
    expect(page.locator("#page-search")).to_be_visible()


# The form ------------------------------------------------------------------------------------------------------------


def test_the_forms_state_is_in_the_address(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    starter: DiffusionModel = ensure_starter()
    like = {"cross_attention_dim": starter.cross_attention_dim, "modules": starter.modules}
    make_lora("paper", name="Paper", default_weight=0.7, trigger_words=["papercut"], **like)
    make_lora("big", name="Big", family="sdxl", cross_attention_dim=2048)
    page = visit(member).open("/create")
    page.get_by_label("Prompt", exact=True).fill("an owl & a lantern")
    page.get_by_role("button", name="Wide").click()
    page.get_by_role("button", name="Roll a seed").click()
    seed = page.locator("#seed").input_value()
    page.get_by_role("button", name="Add a LoRA").click()
    page.get_by_label("LoRA 1", exact=True).select_option("paper")
    expect(page.locator(".lora-words").first).to_contain_text("papercut")
    expect(page.locator('option[value="big"]').first).to_be_disabled()
    page.locator(".lora-slider").first.fill("-0.25")
    width = page.locator("#width").input_value()
    assert int(width) > int(page.locator("#height").input_value())
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("an owl & a lantern")
    expect(page.locator("#seed")).to_have_value(seed)
    expect(page.locator("#width")).to_have_value(width)
    expect(page.get_by_role("button", name="Wide")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Weight of LoRA 1", exact=True)).to_have_value("-0.25")
    page.get_by_role("button", name="Keep the seed").click()
    expect(page.locator("#seed")).to_have_value("")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".card")).to_have_count(1)
    made = Generation.objects.get()
    assert (made.width, [(use.lora.slug, use.weight) for use in made.lora_uses]) == (int(width), [("paper", -0.25)])


def test_numbers_follow_the_model_until_they_are_set(site: Site, visit: Callable[..., Visitor], member: User) -> None:
    make_model("big", width=512, height=512, steps=30, upscale=1, sampler="DDIM")
    page = visit(member).open("/create")
    page.locator("#more > summary").click()
    page.get_by_label("Steps").fill("7")
    page.get_by_label("Model").select_option("big")
    for name, held in {"width": "512", "height": "512", "steps": "7", "upscale": "1", "sampler": "DDIM"}.items():
        expect(page.locator(f"#{name}")).to_have_value(held)
    page.get_by_role("button", name="Square").click()
    expect(page.locator("#width")).to_have_value("512")


# Looks ---------------------------------------------------------------------------------------------------------------


def test_the_theme_is_remembered_on_every_page(site: Site, visit: Callable[..., Visitor], operator: User) -> None:
    page = visit(operator, color_scheme="light").open("/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.locator("details.menu").last.locator("summary").click()
    for _ in range(2):
        page.locator(".theme-switch").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(ground) != light
    for address in ("/create", "/admin/"):
        page.goto(address)
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("look", ["light-1440", "dark-390"])
def test_axe_finds_nothing(site: Site, visit: Callable[..., Visitor], member: User, operator: User, look: str) -> None:
    public, private = fill(site, member, 4), fill(site, member, 1, visibility="private")[0]
    model = ensure_starter()
    like = {"cross_attention_dim": model.cross_attention_dim, "modules": model.modules}
    generation = make_generation(member, model, [(make_lora("paper", **like), 0.8)], finished_at=timezone.now())
    Image.objects.filter(pk__in=[public[0].pk, private.pk]).update(generation=generation)
    make_generation(member, model, status="failed", error="The disk is full.", finished_at=timezone.now())
    make_generation(member, model, status="running", done=6, total=12, started_at=timezone.now())
    make_generation(member, model, status="queued")
    gated = fill(site, member, 1, rating="adult")[0]
    fill(site, member, 1, deleted_at=timezone.now())
    scheme, width = look.split("-")
    options = {"color_scheme": scheme, "size": WIDE if width == "1440" else PHONE}
    pages = {
        None: [
            "/",
            f"/images/{public[0].pk}",
            f"/images/{gated.pk}",
            "/search?q=owl&source=generated",
            "/search?q=zebra",
            "/loras",
            "/loras/paper",
            "/adult",
            "/accounts/login/",
            "/accounts/signup/",
        ],
        member: ["/", "/create", "/mine", "/mine?show=trash", f"/images/{private.pk}", "/queue", "/accounts/email/"],
        operator: ["/admin/", "/admin/gallery/generation/", "/admin/gallery/image/", "/admin/imagineer/apitoken/add/"],
    }
    found = {}
    for person, addresses in pages.items():
        visitor = visit(person, **options)
        page = visitor.open(addresses[0])
        for address in addresses:
            page.goto(address)
            found[address] = violations(visitor, page)
            assert page.evaluate("document.documentElement.scrollWidth") <= options["size"]["width"], address
    assert {address: list_ for address, list_ in found.items() if list_} == {}


def violations(visitor: Visitor, page: Page) -> list[str]:
    before = list(visitor.complaints)
    page.evaluate(AXE)
    results = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    visitor.complaints[:] = before  # axe itself tries inline styles, which the policy stops
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary'][:200]}"
        for rule in results["violations"]
        for node in rule["nodes"][:3]
    ]
