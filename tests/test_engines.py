"""Through which adapters the embedded model speaks."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mia.config import Endpoint, Loaded, Models, Secrets, Settings
from mia.engines import Engines, adapters
from mia.errors import ConfigError, StoreError
from mia.model import Message, Sampling
from mia.models.catalog import known, place
from mia.models.shared import Replies
from mia.training.versions import GGUF, Draft, Role, shelf
from mia.types import Picture

SMOLLM2 = known("smollm2-135m")
QWEN = Endpoint(base_url="http://127.0.0.1:1/v1", model="qwen")


def unseen(_: Picture) -> str:
    raise AssertionError("nobody sees here")


def engines(
    home: Path,
    smollm2: str = "",
    models: Models | None = None,
    replies: Replies | None = None,
) -> Engines:
    settings = Settings(home=str(home), smollm2=smollm2, models=models or Models(), threads=1)
    return Engines(
        loaded=Loaded(settings=settings, secrets=Secrets({}), source=None),
        shown=unseen,
        recorded=None,
        replayed=None,
        connections=AsyncExitStack(),
        replies=replies,
    )


def copied(adapter: str, name: str = GGUF) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        shutil.copyfile(adapters()[adapter], folder / name)

    return fill


def promoted(
    home: Path, role: Role, sha256: str, fill: Callable[[Path], None] = copied("reader")
) -> None:
    one = shelf(home, role)
    draft = Draft(base="SmolLM2", base_sha256=sha256, made_by="supervised")
    one.promote(one.publish(draft, fill).number)


def test_without_a_version_it_is_what_came_with_mia(tmp_path: Path) -> None:
    made = engines(tmp_path)
    assert (made.version("planner"), made.version("executor")) == (None, None)
    assert not (tmp_path / "policies").exists(), "looking writes nothing"


def test_the_version_in_use_is_the_one_that_was_promoted(tmp_path: Path) -> None:
    for _ in range(2):
        promoted(tmp_path, "executor", SMOLLM2.sha256)
    version = engines(tmp_path).version("executor")
    assert version is not None and version.number == 2
    assert engines(tmp_path).version("planner") is None
    shelf(tmp_path, "executor").rollback()
    version = engines(tmp_path).version("executor")
    assert version is not None and version.number == 1


@pytest.mark.parametrize(("asked", "spoken"), [({}, 2), ({"executor": 1}, 1), ({"executor": 0}, 0)])
def test_another_version_may_be_asked_for_and_what_came_with_mia(
    tmp_path: Path, asked: dict[Role, int], spoken: int
) -> None:
    for _ in range(2):
        promoted(tmp_path, "executor", SMOLLM2.sha256)
    version = replace(engines(tmp_path), versions=asked).version("executor")
    assert (version.number if version else 0) == spoken


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    promoted(tmp_path, "planner", "0" * 64)
    with pytest.raises(ConfigError, match=r"version 1 of planner .*mia policy rollback planner"):
        engines(tmp_path).version("planner")
    with pytest.raises(ConfigError, match="version 1 of planner"):
        _ = engines(tmp_path).engine
    assert engines(tmp_path, models=Models(planner=QWEN)).version("planner") is None, (
        "where an endpoint plans, the embedded model need not speak through it"
    )


def test_an_adapter_that_llama_cpp_cannot_read_is_refused(tmp_path: Path) -> None:
    promoted(tmp_path, "executor", SMOLLM2.sha256, copied("reader", "adapter_model.safetensors"))
    with pytest.raises(ConfigError, match=rf"version 1 of executor has no {GGUF}"):
        engines(tmp_path).version("executor")


def test_a_local_model_is_known_by_its_bytes(tmp_path: Path) -> None:
    local = tmp_path / "mine.gguf"
    local.write_bytes(b"weights")
    promoted(tmp_path, "executor", hashlib.sha256(b"weights").hexdigest())
    assert engines(tmp_path, smollm2=str(local)).version("executor") is not None
    local.write_bytes(b"other weights")
    with pytest.raises(ConfigError, match="an adapter for SmolLM2"):
        engines(tmp_path, smollm2=str(local)).version("executor")
    local.unlink()
    with pytest.raises(ConfigError, match="smollm2 names"):
        engines(tmp_path, smollm2=str(local)).version("executor")


def test_a_version_in_use_that_is_gone_is_an_error(tmp_path: Path) -> None:
    promoted(tmp_path, "executor", SMOLLM2.sha256)
    shutil.rmtree(shelf(tmp_path, "executor").folder(1))
    with pytest.raises(StoreError, match="not there any more"):
        engines(tmp_path).version("executor")


ASK = (Message(role="user", content="Who made the lake?"),)
FEW = Sampling(max_tokens=12)


async def said(made: Engines, role: str, adapter: str | None) -> str:
    return (await made.model(role, adapter).reply(ASK, sampling=FEW)).text


async def test_the_embedded_model_speaks_through_the_version_in_use(
    real_home: Path, tmp_path: Path
) -> None:
    """The planner's shipped adapter, published as the executor's, speaks in its place."""
    place(tmp_path, SMOLLM2).parent.mkdir(parents=True)
    place(tmp_path, SMOLLM2).symlink_to(place(real_home, SMOLLM2))
    replies = Replies()
    shipped = engines(tmp_path, replies=replies)
    planned = await said(shipped, "planner", "planner")
    read = await said(shipped, "executor", "reader")
    promoted(tmp_path, "executor", SMOLLM2.sha256, copied("planner"))
    trained = engines(tmp_path, replies=replies)
    assert await said(trained, "executor", "reader") == planned != read, (
        "what the version before said is not taken for this one's"
    )
    assert await said(trained, "executor", None) not in {planned, read}
