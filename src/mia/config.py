"""Typed settings: mia.toml, then the environment on top. Nothing else in MIA reads either.

Looked for in this order: the file given, $MIA_CONFIG, ./mia.toml, <config folder>/mia/mia.toml.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from mia.errors import ConfigError
from mia.executor import Budget
from mia.memory import Weights

_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]
_Dollars = Annotated[float, msgspec.Meta(ge=0)]
_Rate = Annotated[float, msgspec.Meta(gt=0)]
ProviderName = Literal["serper", "brave", "tavily", "exa", "searxng", "wikipedia", "ddgs"]
_Postgres = Annotated[str, msgspec.Meta(pattern="^postgres(ql)?://")]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible endpoint."""

    base_url: str
    model: str
    api_key_env: str = "MIA_API_KEY"
    """The environment variable that holds the key; the key itself is never written down."""
    deadline: _Seconds = 120.0
    """Seconds for one call, with all its retries."""
    concurrency: _Positive = 8
    grammars: bool = False
    """Whether the server takes llama.cpp grammars."""
    sees: bool = False
    """Whether the model takes pictures."""
    dollars_per_million_prompt: float = 0.0
    dollars_per_million_completion: float = 0.0


class Models(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model plays which role. A role that is not given uses `default`; where there is no
    default either, the embedded model."""

    default: Endpoint | None = None
    manager: Endpoint | None = None
    planner: Endpoint | None = None
    executor: Endpoint | None = None
    judge: Endpoint | None = None
    embedder: Endpoint | None = None
    """The default never embeds: chat endpoints seldom do."""


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where workflows are kept, how much is recalled, and by which scores."""

    successes: _Count = 2
    failures: _Count = 1
    weights: Weights = Weights()
    exclude_same_task: bool = True
    tokens: _Positive = 2000
    """Bounds the text that one recall returns."""
    capacity: _Count = 10_000
    """The most workflows of a namespace; 0 for no bound."""
    trust_mode: bool = True
    """Keeps in quarantine what only a model vouches for."""
    withhold: _Share = 0.0
    """The share of recalls that return nothing by lot, so that `mia memory stats --uplift` can say
    what memory adds."""
    store: _Postgres | None = None
    """A Postgres database with pgvector, as postgresql://user@host/db; None for a SQLite file in
    the home folder."""
    store_key_env: str = "MIA_STORE_PASSWORD"
    """The environment variable that holds the database's password, where `store` names none."""


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One search API of the web, and how it may be used."""

    key_env: str = ""
    """The environment variable that holds the key; the provider is used where it is set."""
    base_url: str | None = None
    """None for the provider's own."""
    per_second: _Rate = 1.0
    """Requests."""
    burst: _Positive = 2
    """Requests that may come at once after a pause."""
    price: _Dollars | None = None
    """US dollars a request, where yours is not the list price."""
    dollars_a_day: _Dollars | None = 10.0
    """No request that would cost more than is left of it; None for no bound."""


class Web(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the web is searched and read. One key is enough."""

    order: tuple[ProviderName, ...] = (
        "serper", "brave", "tavily", "exa", "searxng", "wikipedia"
    )  # fmt: skip
    """Who is asked first; the next ones where that fails. Those without a key are passed over."""
    serper: Provider = Provider(key_env="SERPER_API_KEY", per_second=20.0, burst=20)
    brave: Provider = Provider(key_env="BRAVE_API_KEY")
    tavily: Provider = Provider(key_env="TAVILY_API_KEY", per_second=2.0)
    exa: Provider = Provider(key_env="EXA_API_KEY", per_second=5.0)
    searxng: Provider = Provider(per_second=2.0)
    """Used where `base_url` is set."""
    wikipedia: Provider = Provider()
    ddgs: Provider = Provider(per_second=0.5)
    """Best effort: it reads other engines' pages. Used only where `order` names it."""
    contact: str = "its user has set no contact"
    """Told to Wikipedia and to the sites that are read, who may want to know who asks: an e-mail
    address or a web page."""
    dollars_a_run: _Dollars | None = None
    """What one command, or one server while it runs, may spend on searching."""
    deadline: _Seconds = 20.0
    """Seconds for one query, over all providers."""
    page_seconds: _Seconds = 20.0
    """For one page, with its redirects and pauses."""
    cache: bool = True
    """Whether answers are used again: searches for a day, pages for a week."""
    allow: tuple[str, ...] = ()
    """Hosts, as host or host:port, whose pages may be read though they are internal."""

    def provider(self, name: ProviderName) -> Provider:
        """The settings of one provider."""
        return {
            "serper": self.serper, "brave": self.brave, "tavily": self.tavily, "exa": self.exa,
            "searxng": self.searxng, "wikipedia": self.wikipedia, "ddgs": self.ddgs,
        }[name]  # fmt: skip

    def usable(self, secrets: Secrets) -> tuple[ProviderName, ...]:
        """Those of `order` that can be asked: with their key, or an address where that is it."""
        return tuple(name for name in self.order if self._usable(name, secrets))

    def _usable(self, name: ProviderName, secrets: Secrets) -> bool:
        chosen = self.provider(name)
        if name == "searxng":
            return chosen.base_url is not None
        return not chosen.key_env or secrets.key(chosen.key_env) is not None


class Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where pictures are looked up, in this order."""

    caches: tuple[str, ...] = ()
    """Folders of `<question id>/meta.json` with pictures, as the published system has them."""
    index: str | None = None
    """A folder that `mia images build` made; None for the one in the home, where there is one."""
    encoder: str | None = None
    """The ONNX model that the index was built with, if with one."""
    vision_key_env: str = "GOOGLE_VISION_API_KEY"
    """Google Vision is sent the picture itself where this variable is set."""
    vision_url: str | None = None
    lens: Literal["serper", "serpapi"] | None = None
    """Google Lens by way of a provider. It is sent the address of the picture, if it has one."""
    lens_consent: bool = False
    """That addresses of pictures may be sent to it."""
    lens_url: str | None = None
    serpapi_key_env: str = "SERPAPI_API_KEY"


class Rerank(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reranker behind a URL, which reads what a search of the corpus has found and puts the best
    first."""

    base_url: str
    """What stands before /rerank; usually ends in /v1."""
    model: str
    api_key_env: str = "MIA_RERANK_API_KEY"
    """The environment variable that holds the key, where the server wants one."""
    deadline: _Seconds = 30.0
    """Seconds for one query, with all retries."""


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where evidence comes from."""

    source: Literal["auto", "corpus", "web"] = "auto"
    """auto: the corpus that is named; else the web, where a key or a SearXNG is set; else the
    built-in demo corpus."""
    engine: Literal["bm25", "dense", "hybrid"] = "bm25"
    """How a corpus is searched: by words, by meaning (after `mia index embed`), or by both."""
    passages: _Positive = 5
    """How many a query returns."""
    corpus: str | None = None
    """A corpus file or folder, or an index built from one; None for the built-in demo corpus."""
    rerank: Rerank | None = None
    """None for the engine's own order."""
    web: Web = Web()
    images: Images = Images()


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How servers may be reached."""

    token_env: str = "MIA_SERVER_TOKEN"
    """The environment variable that holds the bearer token that clients send. Without a token only
    this machine is served."""
    names: tuple[str, ...] = ()
    """Host names the servers are reached by, beside those of this machine."""


class Planner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plans are made."""

    candidates: _Positive = 1
    """Plans that are drawn for a question, of which a router picks one; 1 for no router."""
    router: Literal["auto", "model", "likeness"] = "auto"
    """model: the manager's endpoint picks; likeness: the plan most like those that worked, without
    a model; auto: the endpoint where there is one."""


class Executor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How plans are carried out."""

    kind: Literal["auto", "stepwise", "react"] = "auto"
    """auto: stepwise with the embedded model, react with an endpoint."""
    protocol: Literal["native", "text"] = "native"
    """How react calls tools: the endpoint's tool calls, or tags in text."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    home: str = ""
    """Where memory, the journal, models and indexes live; empty for the user's data folder."""
    namespace: str = "default"
    judge: Literal["auto", "exact", "reference", "panel"] = "auto"
    """auto: a gold answer is compared; without one, a panel of an endpoint's model, if there is
    one."""
    threads: _Count = 0
    """For the embedded model; 0 for one a core."""
    smollm2: str = ""
    """A local SmolLM2-135M-Instruct GGUF to use in place of the fetched one."""
    models: Models = Models()
    memory: Memory = Memory()
    search: Search = Search()
    server: Server = Server()
    planner: Planner = Planner()
    executor: Executor = Executor()
    budget: Budget = Budget()

    @property
    def folder(self) -> Path:
        return Path(self.home).expanduser()


class Secrets:
    """Keys, by the name of the variable that holds them. Never prints one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def key(self, variable: str) -> str | None:
        return self._environment.get(variable) or None

    def __repr__(self) -> str:
        return "Secrets(...)"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with where they came from."""

    settings: Settings
    secrets: Secrets
    source: Path | None


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Loaded:
    """The settings in force. Raises ConfigError naming the file and the key that is wrong."""
    env = os.environ if environment is None else environment
    source = _find(path, env)
    settings = read(source) if source else Settings()
    settings = _from_environment(settings, env)
    if not settings.home:
        settings = msgspec.structs.replace(settings, home=str(_data_folder(env)))
    return Loaded(settings=settings, secrets=Secrets(env), source=source)


def read(path: Path) -> Settings:
    """Settings from one file."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(_over(msgspec.to_builtins(Settings()), raw), Settings)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _over(defaults: Any, given: Any) -> Any:
    """A table laid over its defaults, down to the innermost: those of one provider are not those of
    the next, so a table that names one key must not lose the others."""
    if not (isinstance(defaults, dict) and isinstance(given, dict)):
        return given
    kept, said = cast("dict[str, Any]", defaults), cast("dict[str, Any]", given)
    return kept | {key: _over(kept.get(key), value) for key, value in said.items()}


def rest_idle_threads() -> None:
    """Lets OpenMP's threads spin for a moment while they wait, and then sleep. To be called before
    llama.cpp is loaded.

    Threads that sleep at once take twice as long; threads that keep spinning starve each other
    beside other work (docs/decisions/0004). What the user has set stands.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def quiet_mem0(folder: Path) -> None:
    """Keeps the mem0 library from reporting to its makers, and its own files in a folder of ours.
    To be called before it is loaded."""
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ.setdefault("MEM0_DIR", str(folder))


def _find(path: Path | None, env: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if env.get("MIA_CONFIG"):
        return Path(env["MIA_CONFIG"])
    folder = Path(
        env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "~").expanduser() / ".config"
    )
    places = (Path("mia.toml"), folder / "mia" / "mia.toml")
    return next((place for place in places if place.is_file()), None)


def _data_folder(env: Mapping[str, str]) -> Path:
    home = Path(env.get("HOME") or "~").expanduser()
    return Path(env.get("XDG_DATA_HOME") or home / ".local" / "share") / "mia"


def _from_environment(settings: Settings, env: Mapping[str, str]) -> Settings:
    """MIA_BASE_URL and MIA_MODEL name the default endpoint; MIA_API_KEY is its key."""
    if env.get("MIA_HOME"):
        settings = msgspec.structs.replace(settings, home=env["MIA_HOME"])
    url, model = env.get("MIA_BASE_URL"), env.get("MIA_MODEL")
    if not url and not model:
        return settings
    if not url or not model:
        missing = "MIA_MODEL" if url else "MIA_BASE_URL"
        raise ConfigError(f"{missing} is not set: an endpoint needs MIA_BASE_URL and MIA_MODEL")
    default = Endpoint(base_url=url, model=model)
    models = msgspec.structs.replace(settings.models, default=default)
    return msgspec.structs.replace(settings, models=models)
