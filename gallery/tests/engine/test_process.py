import base64
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from gallery.engine.protocol import SEED_RANGE
from gallery.metadata import read_metadata
from gallery.tests.engine import lora_spellings as spell
from gallery.tests.engine.process import ROOT, EngineProcess, artifacts, generate, picture, pixels
from gallery.weights import tensors_sha256

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine():
    process = EngineProcess()
    process.ready()
    yield process
    process.stop()


def near(one: bytes, other: bytes, limit: int = 2) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= limit


def test_says_what_it_computes_with():
    process = EngineProcess("--threads", "1")
    ready = process.ready()
    assert ready["device"] in ("cpu", "cuda", "mps")
    assert ready["dtype"] in ("float32", "float16", "bfloat16")
    assert {"torch", "diffusers"} <= ready["versions"].keys()
    assert ready["environment"]["threads"] == 1
    assert ready["seconds"] > 0
    assert process.close() == 0


def test_a_job_from_first_progress_to_result(engine, tmp_path):
    answers = engine.do(generate(tmp_path, count=2, seed=SEED_RANGE - 1, upscale=4, metadata={"generation": "g1"}))
    first, second = artifacts(answers)
    assert (first["seed"], second["seed"]) == (SEED_RANGE - 1, 0)
    assert (first["index"], first["width"], first["height"]) == (0, 256, 256)
    assert picture(first["path"]).size == (256, 256)
    result = answers[-1]
    assert result["loaded"] == "starter"
    assert result["seconds"] >= result["load_seconds"] > 0
    assert result["environment"]["attention"] == "sdpa"
    assert not list(tmp_path.glob(".*"))


def test_progress_counts_the_steps_of_all_pictures(engine, tmp_path):
    answers = engine.do(generate(tmp_path, count=3, steps=5))
    told = [answer for answer in answers if answer["type"] == "progress"]
    assert all(answer["total"] == 15 for answer in told)
    counts = [answer["done"] for answer in told]
    assert counts == sorted(counts)
    denoising = [answer for answer in told if answer["stage"] == "denoising"]
    assert denoising[0]["done"] == 1
    assert denoising[0]["message"] == "Step 1 of 5, picture 1 of 3"
    assert denoising[-1]["done"] == 15
    stages = [answer["stage"] for answer in told]
    assert stages.index("encoding") < stages.index("denoising") < stages.index("decoding") < stages.index("saving")


def test_progress_and_previews_are_not_more_than_can_be_looked_at(engine, tmp_path):
    started = time.monotonic()
    answers = engine.do(generate(tmp_path, steps=150, width=96))
    seconds = time.monotonic() - started
    denoising = [answer for answer in answers if answer.get("stage") == "denoising"]
    assert len(denoising) <= seconds / 0.25 + 3
    previews = [answer["preview"] for answer in denoising if answer["preview"]]
    assert 1 <= len(previews) <= seconds + 1
    preview = Image.open(io.BytesIO(base64.b64decode(previews[-1])))
    assert (preview.format, preview.size) == ("JPEG", (96, 64))


def test_the_first_step_of_a_warm_job_comes_at_once(engine, tmp_path):
    engine.do(generate(tmp_path))
    waits = []
    for number in range(5):
        started = time.monotonic()
        engine.send(generate(tmp_path, f"warm{number}", prompt=f"red heart {number}", steps=20))
        while engine.next().get("stage") != "denoising":
            pass
        waits.append(time.monotonic() - started)
        engine.until_end()
    assert min(waits) < 0.2


def test_the_same_request_gives_the_same_bits_in_any_process(engine, tmp_path):
    request = {"count": 2, "sampler": "Euler a", "upscale": 2, "guidance": 3.5}
    first = pixels(engine.do(generate(tmp_path / "a", **request)))
    again = pixels(engine.do(generate(tmp_path / "b", **request)))
    other = EngineProcess()
    other.ready()
    elsewhere = pixels(other.do(generate(tmp_path / "c", **request)))
    other.close()
    assert first == again == elsewhere
    assert first[0] != first[1]


def test_a_picture_is_the_same_alone_and_in_a_batch(engine, tmp_path):
    batched = EngineProcess("--batch", "3")
    batched.ready()
    for sampler in ("DDIM", "DPM++ SDE", "LCM"):
        together = pixels(batched.do(generate(tmp_path / "a", count=3, seed=9, sampler=sampler)))
        one = engine.do(generate(tmp_path / "b", count=3, indexes=[2], seed=9, sampler=sampler))
        alone = pixels(engine.do(generate(tmp_path / "c", seed=11, sampler=sampler)))
        assert [(a["index"], a["seed"]) for a in artifacts(one)] == [(2, 11)]
        assert pixels(one) == alone
        assert near(together[2], alone[0])
    batched.close()


def test_zero_is_a_value(engine, tmp_path):
    """Guidance 0 and 1 both mean no guidance, so the negative prompt has no part; seed 0 is seed 0."""
    free = pixels(engine.do(generate(tmp_path, guidance=0, negative_prompt="blue")))
    assert free == pixels(engine.do(generate(tmp_path, guidance=0, negative_prompt="green")))
    assert free == pixels(engine.do(generate(tmp_path, guidance=1)))
    guided = engine.do(generate(tmp_path, guidance=4))
    assert free != pixels(guided)
    assert artifacts(guided)[0]["seed"] == 0
    assert pixels(guided) == pixels(engine.do(generate(tmp_path, guidance=4, seed=0)))
    assert pixels(guided) != pixels(engine.do(generate(tmp_path, guidance=4, seed=1)))


def test_the_file_can_make_itself_again(engine, tmp_path):
    request = generate(
        tmp_path,
        prompt="a (red:1.2) heart, ☂",
        negative_prompt="blue",
        seed=0,
        guidance=0,
        upscale=2,
        metadata={"generation": "g1"},
    )
    (artifact,) = artifacts(engine.do(request))
    found = read_metadata(artifact["path"])
    assert found.source == "imagineer"
    told = found.parameters
    for field in ("prompt", "negative_prompt", "seed", "steps", "guidance", "sampler", "width", "height", "upscale"):
        assert getattr(told, field) == request[field], field
    assert found.document["generation"] == "g1"
    assert found.document["model"]["sha256"] == "ab" * 32
    assert str(ROOT) not in json.dumps(found.document)
    assert found.document["environment"]["torch"]
    assert "trainedAlgorithmicMedia" in picture(artifact["path"]).info["XML:com.adobe.xmp"]


def test_loras_are_put_on_and_taken_off(engine, tmp_path, starter):
    lora = spell.kohya(spell.make_lora(starter), tmp_path / "ink.safetensors")
    wearing = {"loras": [{"name": "ink", "path": str(lora), "weight": 0.5}]}
    plain = pixels(engine.do(generate(tmp_path / "a")))
    inked = engine.do(generate(tmp_path / "b", **wearing))
    assert pixels(inked) != plain
    (told,) = read_metadata(artifacts(inked)[0]["path"]).parameters.loras
    assert (told.name, told.weight, told.hash) == ("ink", 0.5, tensors_sha256(lora))
    assert pixels(engine.do(generate(tmp_path / "c"))) == plain
    wearing["loras"][0]["weight"] = 0
    assert pixels(engine.do(generate(tmp_path / "d", **wearing))) == plain


def test_image_to_image(engine, tmp_path):
    source = tmp_path / "source.png"
    Image.new("RGBA", (200, 100), (250, 60, 40, 255)).save(source)
    start = {"init_image": str(source), "steps": 8}
    kept = artifacts(engine.do(generate(tmp_path, "kept", strength=0, **start)))[0]
    average = picture(kept["path"]).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert max(abs(a - b) for a, b in zip(average, (250, 60, 40), strict=True)) < 25
    half = engine.do(generate(tmp_path, "half", strength=0.5, **start))
    told = read_metadata(artifacts(half)[0]["path"]).parameters
    assert (told.strength, told.init_image_hash) == (0.5, hashlib.sha256(source.read_bytes()).hexdigest())
    assert half[-2]["type"] == "artifact"
    assert {a["total"] for a in half if a["type"] == "progress"} == {4}
    free = pixels(engine.do(generate(tmp_path, "free", strength=1, **start)))
    assert free == pixels(engine.do(generate(tmp_path, "none", steps=8)))
    difference = ImageChops.difference(picture(kept["path"]), picture(tmp_path / "half-00.png"))
    assert difference.getbbox()


def test_enlarges_a_picture_on_demand(engine, tmp_path):
    source = tmp_path / "source.png"
    Image.effect_noise((40, 30), 60).save(source)
    answers = engine.do({"op": "upscale", "job": "up", "path": str(source), "factor": 4, "out_dir": str(tmp_path)})
    (artifact,) = artifacts(answers)
    assert (artifact["width"], artifact["height"]) == (160, 120)
    assert answers[-1]["type"] == "result"
    source.write_bytes(b"not a picture")
    answer = engine.do({"op": "upscale", "job": "up", "path": str(source), "factor": 4, "out_dir": str(tmp_path)})
    assert answer[-1]["kind"] == "invalid"


def test_cancels_within_a_step(engine, tmp_path):
    engine.do(generate(tmp_path))
    engine.send(generate(tmp_path, "long", count=16, steps=150))
    while engine.next().get("stage") != "denoising":
        pass
    started = time.monotonic()
    engine.send({"op": "cancel", "job": "long"})
    answers = engine.until_end()
    assert answers[-1] == {"job": "long", "type": "cancelled"}
    assert time.monotonic() - started < 1
    assert engine.do(generate(tmp_path))[-1]["type"] == "result"


def test_cancels_a_job_that_waits_and_no_other(engine, tmp_path):
    engine.send(generate(tmp_path, "first", steps=30))
    engine.send(generate(tmp_path, "second"))
    engine.send({"op": "cancel", "job": "second"})
    engine.send({"op": "cancel", "job": "never heard of"})
    assert engine.until_end()[-1]["type"] == "result"
    assert engine.until_end() == [{"job": "second", "type": "cancelled"}]
    assert engine.do(generate(tmp_path, "second"))[-1]["type"] == "result"


def test_cancels_between_loading_and_drawing(engine, tmp_path):
    engine.send({"op": "unload"})
    engine.send(generate(tmp_path, "loading", steps=150))
    while engine.next().get("stage") != "loading":
        pass
    engine.send({"op": "cancel", "job": "loading"})
    answers = engine.until_end()
    assert answers[-1]["type"] == "cancelled"
    assert not [answer for answer in answers if answer.get("stage") == "decoding"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width": 63}, "width must be a whole number from 64 to 2048, not '63'."),
        ({"height": 100}, "height must be a multiple of 8, not '100'."),
        ({"steps": 0}, "steps must be a whole number from 1 to 150, not '0'."),
        ({"steps": True}, "steps must be"),
        ({"guidance": 30.5}, "guidance must be a number from 0 to 30, not '30.5'."),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295"),
        ({"count": 17}, "count must be a whole number from 1 to 16"),
        ({"indexes": [1]}, "indexes must be whole numbers from 0 to 0"),
        ({"sampler": "Euler b"}, "sampler must be one of DDIM, DDPM, Euler"),
        ({"upscale": 3}, "upscale must be one of 1, 2, 4"),
        ({"strength": 2}, "strength must be a number from 0 to 1"),
        ({"out_dir": "relative"}, "out_dir must be an absolute path"),
        ({"model": {"slug": "x", "location": "/x", "family": "flux"}}, "model.family must be one of sd1, sd2, sdxl"),
        ({"loras": [{"name": "a", "path": "/a", "weight": 3}]}, "loras[0].weight must be a number from -2 to 2"),
        ({"prompt": None}, "prompt must be text"),
        ({"op": "paint"}, "op must be one of generate, upscale"),
    ],
)
def test_refuses_what_is_out_of_bounds(engine, tmp_path, change, told):
    (answer,) = engine.do(generate(tmp_path, **change))
    assert (answer["type"], answer["kind"]) == ("error", "invalid")
    assert answer["message"].startswith(told)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff\xfe", b"{" * 5000, b"[" * 100_000, b"x" * (2 << 20)])
def test_survives_lines_that_are_no_requests(engine, tmp_path, line):
    engine.send(line)
    answer = engine.next()
    assert (answer["job"], answer["kind"]) == (None, "invalid")
    assert engine.do(generate(tmp_path))[-1]["type"] == "result"


def test_failures_name_their_kind_and_the_engine_lives_on(engine, tmp_path, starter_spec):
    lost = {"slug": "lost", "location": str(tmp_path / "nowhere"), "family": "sd1"}
    answer = engine.do(generate(tmp_path, model=lost))[-1]
    assert (answer["kind"], "neither a model folder" in answer["message"]) == ("model", True)
    lora = {"name": "gone", "path": str(tmp_path / "gone.safetensors"), "weight": 1}
    answer = engine.do(generate(tmp_path, loras=[lora]))[-1]
    assert (answer["kind"], "gone is missing" in answer["message"]) == ("lora", True)
    answer = engine.do(generate(tmp_path, init_image=str(tmp_path / "no.png")))[-1]
    assert (answer["kind"], "no.png can't be read as a picture" in answer["message"]) == ("invalid", True)
    answer = engine.do(generate(tmp_path, out_dir="/proc/pictures"))[-1]
    assert answer["kind"] == "disk"
    assert engine.do(generate(tmp_path))[-1]["type"] == "result"


def test_another_model_takes_the_place_and_a_changed_one_is_read_again(engine, tmp_path, starter_spec):
    copy = tmp_path / "copy"
    shutil.copytree(starter_spec.location, copy)
    model = {"slug": "copy", "location": str(copy), "family": "sd1"}
    plain = engine.do(generate(tmp_path / "a", model=model))
    assert plain[-1]["loaded"] == "copy"
    assert engine.do(generate(tmp_path / "b", model=model))[-1]["load_seconds"] < 0.1
    os.utime(copy / "unet" / "diffusion_pytorch_model.safetensors", (1, 1))
    again = engine.do(generate(tmp_path / "c", model=model))
    assert next(a["message"] for a in again if a.get("stage") == "loading") == "Loading the model copy"
    assert pixels(again) == pixels(plain) == pixels(engine.do(generate(tmp_path / "d")))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit a running process")
def test_out_of_memory_is_said_and_survived(tmp_path):
    process = EngineProcess("--threads", "1")
    process.ready()
    assert process.do(generate(tmp_path))[-1]["type"] == "result"
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    resource.prlimit(process.child.pid, resource.RLIMIT_AS, (used + (200 << 20), used + (200 << 20)))
    answer = process.do(generate(tmp_path, width=2048, height=2048, steps=1))[-1]
    assert answer["kind"] == "memory"
    assert "smaller width and height" in answer["message"]
    answers = process.do(generate(tmp_path))
    assert answers[-1]["type"] == "result"
    assert "Loading the UNet" in [answer.get("message") for answer in answers]
    process.close()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    process = EngineProcess("--threads", "1", preexec=limit)
    process.ready()
    answer = process.do(generate(tmp_path, upscale=4))[-1]
    process.close()
    assert answer["kind"] == "disk"
    assert not list(tmp_path.iterdir())


def test_ends_when_idle_and_when_told():
    idle = EngineProcess("--idle", "0.2")
    idle.ready()
    told = EngineProcess()
    told.ready()
    told.send({"op": "shutdown"})
    assert (idle.wait(), told.wait()) == (0, 0)


@pytest.mark.parametrize("how", ["eof", "shutdown", "sigterm"])
def test_ends_within_a_step_of_a_running_job(tmp_path, how):
    process = EngineProcess("--threads", "1")
    process.ready()
    process.send(generate(tmp_path, count=16, steps=150))
    while process.next().get("stage") != "denoising":
        pass
    if how == "eof":
        process.child.stdin.close()
    elif how == "shutdown":
        process.send({"op": "shutdown"})
    else:
        process.child.send_signal(signal.SIGTERM)
    assert process.until_end()[-1]["type"] == "cancelled"
    assert process.wait(10) == 0
    assert not list(tmp_path.iterdir())


def test_libraries_cannot_write_into_the_answers(tmp_path):
    """Whatever prints to file descriptor 1 after the start lands on stderr."""
    code = (
        "import os, sys; from gallery.engine.channel import take_stdout;"
        "out = take_stdout(); print('print'); os.write(1, b'write'); os.system('echo child');"
        "sys.stdout.write('stdout'); out.write(b'answer')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True)
    assert ran.stdout == b"answer"
    assert {b"print", b"write", b"child"} <= set(ran.stderr.replace(b"write", b"write\n").split())
