import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve each other
os.environ["HF_HUB_OFFLINE"] = "1"

STARTER = Path(__file__).resolve().parents[3] / "models" / "starter"

# What the libraries say to each other; a warning of our own code is still an error.
LIBRARY_WARNINGS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:__array_wrap__ must accept context:DeprecationWarning",
    "ignore:The configuration file of this scheduler:FutureWarning",
    "ignore:.*is deprecated:FutureWarning:diffusers",
    "ignore:You have modified the pretrained model configuration:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for line in LIBRARY_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(scope="package", autouse=True)
def no_gradients() -> Iterator[None]:
    import torch

    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """ModelSpec of a tiny model folder of each family."""
    from gallery.tests.engine.tiny import FAMILIES, build_model

    root = tmp_path_factory.mktemp("tiny")
    return {family: build_model(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="session")
def load():
    """Loads any ModelSpec on the CPU, fresh each time."""
    from gallery.engine.devices import choose_device
    from gallery.engine.models import load_model

    return lambda spec: load_model(spec, choose_device(), lambda part: None)


@pytest.fixture(scope="session")
def tiny_models(tiny, load):
    """The tiny models loaded once, for tests that leave them as they are."""
    return {family: load(spec) for family, spec in tiny.items()}


@pytest.fixture(scope="session")
def starter_spec():
    from gallery.engine.protocol import ModelSpec

    return ModelSpec("starter", str(STARTER), "sd1")


@pytest.fixture(scope="session")
def starter(load, starter_spec):
    return load(starter_spec)
