"""What holds for every template and every page, whatever it shows."""

import re
from pathlib import Path

import pytest
from django.conf import settings

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
SPRITE = (settings.BASE_DIR / "static/vendor/lucide/sprite.svg").read_text()
RATIOS = (settings.BASE_DIR / "static/css/ratios.css").read_text()


def test_icons_are_in_the_sprite_and_the_sprite_holds_no_more():
    code = "\n".join(path.read_text() for path in TEMPLATES)
    named = set(re.findall(r'{% icon "([\w-]+)"', code)) | set(re.findall(r'error_icon\|default:"([\w-]+)"', code))
    named |= set(re.findall(r': "([\w-]+)",\n', Path("gallery/templatetags/interface.py").read_text()))
    named |= {"square", "rectangle-horizontal", "rectangle-vertical", "check"}  # gallery/views/sizes.py, js/site.js
    assert set(re.findall(r'<symbol id="([\w-]+)"', SPRITE)) == named


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_no_template_breaks_the_content_security_policy(path):
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"\son\w+\s*=\s*[\"']", text)
    assert "<style" not in text
    assert "hx-on" not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_every_ratio_has_its_class():
    from gallery.templatetags.interface import RATIO_LIMITS

    low, high = (round(limit * 100) for limit in RATIO_LIMITS)
    assert re.findall(r"\.r-(\d+) ", RATIOS) == [str(number) for number in range(low, high + 1, 5)]


def test_the_policy_of_every_page_is_strict(client, db):
    policy = client.get("/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", ["htmx", "lucide"])
def test_what_is_vendored_carries_its_licence(name):
    assert (settings.BASE_DIR / "static/vendor" / name / "LICENSE").stat().st_size > 500
