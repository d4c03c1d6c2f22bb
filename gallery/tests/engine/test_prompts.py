import subprocess
import sys
import time

import pytest

from gallery.engine.prompts import MAX_WEIGHT, Segment, extract_lora_tags, parse_prompt


def pairs(prompt):
    return [(segment.text, round(segment.weight, 4)) for segment in parse_prompt(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", [("", 1.0)]),
        ("a cat", [("a cat", 1.0)]),
        ("a (cat)", [("a ", 1.0), ("cat", 1.1)]),
        ("a [cat]", [("a ", 1.0), ("cat", 0.9091)]),
        ("a ((cat))", [("a ", 1.0), ("cat", 1.21)]),
        ("a (cat:1.3) b", [("a ", 1.0), ("cat", 1.3), (" b", 1.0)]),
        ("(a (cat:1.5) b:2)", [("a ", 2.0), ("cat", 3.0), (" b", 2.0)]),
        ("(a:.5)(b: 0.5 )(c:-1)", [("ab", 0.5), ("c", -1.0)]),
        (r"\(cat\) \[x\] \\", [("(cat) [x] \\", 1.0)]),
        ("unclosed (cat", [("unclosed ", 1.0), ("cat", 1.1)]),
        ("unopened cat) ]", [("unopened cat) ]", 1.0)]),
        ("time 12:30 [a:b]", [("time 12:30 ", 1.0), ("a:b", 0.9091)]),
        ("()", [("", 1.0)]),
        ("a (cat:nonsense)", [("a ", 1.0), ("cat:nonsense", 1.1)]),
    ],
)
def test_weights(prompt, expected):
    assert pairs(prompt) == expected


def test_break_starts_a_chunk():
    assert parse_prompt("a cat BREAK (a dog)") == [Segment("a cat", 1.0, 0), Segment("a dog", 1.1, 1)]
    assert parse_prompt("BREAKFAST") == [Segment("BREAKFAST", 1.0, 0)]
    assert parse_prompt("BREAK") == [Segment("", 1.0)]


def test_weights_stay_finite():
    (segment,) = parse_prompt("(" * 500 + "a:999999" + ")" * 500)
    assert segment.weight == MAX_WEIGHT


@pytest.mark.parametrize("prompt", ["(" * 2000, "(a" * 1000, "[" * 1000 + "]" * 1000, ":1." * 600, " " * 2000])
def test_hostile_prompts_are_quick(prompt):
    started = time.perf_counter()
    parse_prompt(prompt)
    extract_lora_tags(prompt)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("prompt", "text", "loras"),
    [
        ("a cat", "a cat", []),
        ("a, , cat", "a, , cat", []),
        ("a cat <lora:ink:0.8>", "a cat", [("ink", 0.8)]),
        ("<lora:ink>, a cat, <LORA:my style:-1.5>, red", "a cat, red", [("ink", 1.0), ("my style", -1.5)]),
        ("a <lora:ink:0.8:0.5> cat", "a cat", [("ink", 0.8)]),
        ("a <lora:ink:much> cat", "a <lora:ink:much> cat", []),
        ("a <lora:ink:nan> cat", "a <lora:ink:nan> cat", []),
        ("<lora:ink:1>", "", [("ink", 1.0)]),
        ("a <lora:> cat", "a <lora:> cat", []),
    ],
)
def test_lora_tags(prompt, text, loras):
    assert extract_lora_tags(prompt) == (text, loras)


def test_what_forms_read_loads_no_torch():
    code = (
        "import sys, gallery.engine.prompts, gallery.engine.samplers, gallery.engine.protocol;"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
