"""Settings: where they are looked for, what is refused, and that keys stay secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.config import Loaded, Provider, Rerank, Settings, load
from mia.errors import ConfigError

KEY = "sk-canary-0123456789"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def namespace(loaded: Loaded) -> str:
    return loaded.settings.namespace


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which every place has a file, the current folder too."""
    write(tmp_path / "here" / "mia.toml", 'namespace = "here"')
    write(tmp_path / "config" / "mia" / "mia.toml", 'namespace = "config"')
    monkeypatch.chdir(tmp_path / "here")
    named = write(tmp_path / "named.toml", 'namespace = "named"')
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "MIA_CONFIG": str(named),
    }


def test_the_nearest_place_wins(places: dict[str, str], tmp_path: Path) -> None:
    given = write(tmp_path / "given.toml", 'namespace = "given"')
    assert namespace(load(given, places)) == "given"
    assert namespace(load(None, places)) == "named"
    del places["MIA_CONFIG"]
    assert namespace(load(None, places)) == "here"
    Path("mia.toml").unlink()
    assert namespace(load(None, places)) == "config"
    del places["XDG_CONFIG_HOME"]
    write(tmp_path / ".config" / "mia" / "mia.toml", 'namespace = "home"')
    assert namespace(load(None, places)) == "home"
    (tmp_path / ".config" / "mia" / "mia.toml").unlink()
    assert load(None, places).source is None


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.toml"):
        load(None, {"MIA_CONFIG": str(tmp_path / "gone.toml")})
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense = 1", "nonsense"),
        ("[search]\npasages = 3", "pasages"),
        ("[models.planner]\nbase_url = 'x'", r"model.*\$\.models\.planner"),
        ("[models.judge]\nbase_url='x'\nmodel='y'\napi_key='z'", r"api_key.*\$\.models\.judge"),
        ("[search]\npassages = 'five'", r"\$\.search\.passages"),
        ("judge = 'oracle'", r"oracle.*\$\.judge"),
        ("[budget]\ncals = 3", "cals"),
        ("[memory.weights]\nsimilartiy = 3", "similartiy"),
        ("x = 1\nnamespace = what", "line 2"),
        ("[search]\npassages = 0", r">= 1.*\$\.search\.passages"),
        ("[models.default]\nbase_url='x'\nmodel='y'\ndeadline = 0.0", r"> 0.*deadline"),
        ("[planner]\ncandidates = 0", r">= 1.*\$\.planner\.candidates"),
        ("[planner]\nrouter = 'chance'", r"chance.*\$\.planner\.router"),
        ("[search.rerank]\nbase_url = 'x'", r"model.*\$\.search\.rerank"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_path(
    tmp_path: Path, text: str, named: str
) -> None:
    path = write(tmp_path / "mia.toml", text)
    with pytest.raises(ConfigError, match=named) as caught:
        load(path, {})
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mia.toml"
    path.write_bytes(b'namespace = "\xff\xfe"')
    with pytest.raises(ConfigError, match=r"mia\.toml"):
        load(path, {})


def test_an_endpoint_in_the_environment_needs_both_its_variables() -> None:
    both = {"MIA_BASE_URL": "http://localhost/v1", "MIA_MODEL": "toy"}
    default = load(None, both).settings.models.default
    assert default is not None
    assert (default.base_url, default.model) == ("http://localhost/v1", "toy")
    with pytest.raises(ConfigError, match="MIA_MODEL is not set"):
        load(None, {"MIA_BASE_URL": "http://localhost/v1"})
    with pytest.raises(ConfigError, match="MIA_BASE_URL is not set"):
        load(None, {"MIA_MODEL": "toy", "MIA_BASE_URL": ""})


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mia.toml", 'home = "/file"\n[models.default]\nbase_url="a"\nmodel="b"')
    environment = {"MIA_HOME": "/environment", "MIA_BASE_URL": "c", "MIA_MODEL": "d"}
    settings = load(path, environment).settings
    assert settings.home == "/environment"
    assert settings.models.default is not None and settings.models.default.model == "d"
    assert load(path, {}).settings.home == "/file"


def test_a_home_may_begin_with_a_tilde(tmp_path: Path) -> None:
    path = write(tmp_path / "mia.toml", 'home = "~/mia"')
    for loaded in (load(path, {}), load(None, {"MIA_HOME": "~/mia"})):
        assert loaded.settings.folder == Path.home() / "mia"


def test_without_a_home_the_data_folder_of_the_user_is_it() -> None:
    assert load(None, {"HOME": "/home/ann"}).settings.home == "/home/ann/.local/share/mia"
    data = {"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}
    assert load(None, data).settings.home == "/data/mia"


def test_a_key_is_found_by_its_variable_and_never_printed(tmp_path: Path) -> None:
    path = write(tmp_path / "mia.toml", "[models.default]\nbase_url='x'\nmodel='y'")
    loaded = load(path, {"MIA_API_KEY": KEY, "OTHER_KEY": ""})
    assert loaded.secrets.key("MIA_API_KEY") == KEY
    assert loaded.secrets.key("OTHER_KEY") is None and loaded.secrets.key("NONE") is None
    assert KEY not in f"{loaded!r} {loaded} {loaded.secrets!r} {loaded.settings!r}"
    with pytest.raises(ConfigError) as caught:
        load(None, {"MIA_BASE_URL": "x", "MIA_API_KEY": KEY})
    assert KEY not in str(caught.value)


def test_the_defaults_are_those_of_an_empty_file(tmp_path: Path) -> None:
    loaded = load(write(tmp_path / "mia.toml", ""), {"HOME": "/home/ann"})
    assert loaded.settings == Settings(home="/home/ann/.local/share/mia")


def test_a_table_of_a_provider_is_laid_over_its_own_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mia.toml",
        "[search.web.serper]\nper_second = 10.0\n[search.web.ddgs]\nburst = 5\n"
        "[memory.weights]\nvalue = 0.1",
    )
    loaded = load(path, {"SERPER_API_KEY": KEY})
    web, usual = loaded.settings.search.web, Settings().search.web
    assert web.serper == Provider(key_env="SERPER_API_KEY", per_second=10.0, burst=20)
    assert web.ddgs == replace(usual.ddgs, burst=5) and web.brave == usual.brave
    assert web.usable(loaded.secrets)[0] == "serper"
    weights = Settings().memory.weights
    assert loaded.settings.memory.weights == replace(weights, value=0.1)


def test_every_key_of_the_example_is_a_setting(tmp_path: Path) -> None:
    example = (Path(__file__).parents[1] / "mia.example.toml").read_text(encoding="utf-8")
    keys = re.findall(r"^# (\[[\w.]+\]|\w+ = .*)", example.replace("# [models.planner]", ""), re.M)
    settings = load(write(tmp_path / "mia.toml", "\n".join(keys)), {}).settings
    assert settings.planner == Settings().planner
    rerank = settings.search.rerank
    assert rerank == Rerank(base_url="http://localhost:8002/v1", model="my-reranker")
    assert settings.memory.store == "postgresql://mia@db.example/mia"
    assert replace(settings.memory, store=None) == Settings().memory


def test_a_store_that_is_no_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"memory\.store") as caught:
        load(write(tmp_path / "mia.toml", f'[memory]\nstore = "mysql://{KEY}@host"'), {})
    assert KEY not in str(caught.value)
