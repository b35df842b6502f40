"""Names: models, aliases, and models that a project has tuned, which are there for nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.served import AnsweringModel, EmbeddingModel, OpenModel
from pennyweight.answers.served_models import ServedModels
from pennyweight.answers.tuned import GivenAdapters, TunedModel, TunedModelsOf
from pennyweight.errors import ConfigError, InvalidRequestError, ModelNotFoundError
from pennyweight.models.adapter.files import AdapterFiles
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import llama_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

TUNED = "ft:small:acme::x1"


class Kept:
    """Tuned models by project, in memory."""

    def __init__(self, *models: tuple[str, TunedModel]) -> None:
        self.models = list(models)

    def find(self, name: str, project: str) -> TunedModel | None:
        return next((model for model in self.list(project) if model.name == name), None)

    def list(self, project: str) -> Sequence[TunedModel]:
        return [model for owner, model in self.models if owner == project]

    async def remove(self, name: str, project: str) -> None:
        self.models = [
            (owner, model) for owner, model in self.models if (owner, model.name) != (project, name)
        ]


def tuned(name: str = TUNED, *, base: str = "small") -> TunedModel:
    return TunedModel(
        name=name,
        base=base,
        adapter=f"identity of {name}",
        files=lambda: AdapterFiles(name=name, config={}, weights=Path("nowhere")),
        created=7,
        owner="acme",
    )


def opened(name: str) -> OpenModel:
    answers: Any = None
    model = OpenModel(name=name, answers=answers, ids=answers, local=answers)
    return OpenModel(
        name=name,
        answers=answers,
        ids=answers,
        local=answers,
        adapting=lambda tuned: OpenModel(name=tuned.name, answers=model.answers, ids=model.ids),
    )


def served(kept: Any, *, forgotten: list[str] | None = None, **aliases: str) -> ServedModels:
    here = AnsweringModel(
        name="small",
        created=1,
        opening=AnsweringModel.always_open(opened("small"), created=1).opening,
        residence=lambda: "loaded",
    )
    elsewhere = AnsweringModel(name="far", created=2, opening=here.opening)
    vectors = EmbeddingModel(name="vectors", created=3)
    forget = None if forgotten is None else forgotten.append
    return ServedModels([here, elsewhere, vectors], aliases=aliases, tuned=kept, forget=forget)


def test_a_tuned_model_is_there_for_its_project() -> None:
    models = served(Kept(("acme", tuned())))
    model = models.resolve(TUNED, AnsweringModel, "acme")
    assert (model.name, model.created, model.owner) == (TUNED, 7, "acme")
    card = models.card(TUNED, "acme")
    assert card["id"] == TUNED
    assert (card["parent"], card["owned_by"], card["status"]) == ("small", "acme", {"value": "loaded"})
    assert [card["id"] for card in models.cards("acme")][-1] == TUNED

    async def open_it() -> str:
        async with model.open() as ready:
            return ready.name

    assert asyncio.run(open_it()) == TUNED


def test_for_another_project_it_does_not_exist() -> None:
    models = served(Kept(("acme", tuned())))
    with pytest.raises(ModelNotFoundError) as foreign:
        models.resolve(TUNED, AnsweringModel, "other")
    with pytest.raises(ModelNotFoundError) as nobody:
        models.resolve("ft:small:acme::x2", AnsweringModel, "other")
    assert foreign.value.message == nobody.value.message.replace("x2", "x1")
    assert TUNED not in str(models.cards("other"))
    with pytest.raises(ModelNotFoundError):
        models.card(TUNED, "other")
    with pytest.raises(ModelNotFoundError):
        asyncio.run(models.remove(TUNED, "other"))


def test_removing_tells_whose_memory_it_is_in() -> None:
    forgotten: list[str] = []
    models = served(Kept(("acme", tuned()), ("other", tuned())), forgotten=forgotten)
    asyncio.run(models.remove(TUNED, "acme"))
    assert forgotten == [f"identity of {TUNED}"]
    with pytest.raises(ModelNotFoundError):
        models.resolve(TUNED, AnsweringModel, "acme")
    models.resolve(TUNED, AnsweringModel, "other")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("small", "'small' was not tuned here"),
        ("vectors", "was not tuned here"),
        ("old", f"name of '{TUNED}'"),
    ],
)
def test_what_is_not_deleted(name: str, said: str) -> None:
    models = served(Kept(("acme", tuned())), old=TUNED)
    with pytest.raises(InvalidRequestError, match=said):
        asyncio.run(models.remove(name, "acme"))


def test_an_alias_stands_for_a_tuned_model() -> None:
    aliases = ("ft:gpt-4o-mini-2024-07-18:acme::old", "gpt-4o-mini")
    models = served(Kept(("acme", tuned())), **dict.fromkeys(aliases, TUNED))
    for alias in aliases:
        assert models.resolve(alias, AnsweringModel, "acme").name == TUNED
        assert models.card(alias, "acme")["root"] == TUNED
        assert models.name_of(alias) == TUNED
        with pytest.raises(ModelNotFoundError):
            models.resolve(alias, AnsweringModel, "other")
    ids = [card["id"] for card in models.cards("acme")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("base", ["gone", "far", "vectors"])
def test_one_whose_base_does_not_run_here(base: str) -> None:
    models = served(Kept(("acme", tuned(base=base))))
    with pytest.raises(
        ModelNotFoundError, match=f"tuned from '{base}', which does not run here; start the server"
    ):
        models.resolve(TUNED, AnsweringModel, "acme")
    assert TUNED not in str(models.cards("acme"))


def test_a_model_goes_before_a_tuned_one_of_its_name() -> None:
    models = served(Kept(("acme", tuned("small"))))
    assert models.resolve("small", AnsweringModel, "acme").created == 1
    assert [card["id"] for card in models.cards("acme")].count("small") == 1


def test_given_adapters_are_everybodys(tmp_path: Path) -> None:
    given = GivenAdapters()
    given.add("poet", write_adapter(tmp_path / "poet", llama_shape()), base="small")
    models = served(TunedModelsOf(given, Kept(("acme", tuned()))), old="poet")
    for project in ("acme", "other"):
        assert models.resolve("poet", AnsweringModel, project).name == "poet"
        assert models.resolve("old", AnsweringModel, project).name == "poet"
    assert [card["id"] for card in models.cards("acme")][-3:] == ["poet", TUNED, "old"]
    with pytest.raises(InvalidRequestError, match="start it without that --adapter"):
        asyncio.run(models.remove("poet", "acme"))
    with pytest.raises(ConfigError, match="'new' stands for 'bard', which is not served"):
        served(given, new="bard")


def test_a_given_folder_that_changed_is_refused(tmp_path: Path) -> None:
    given = GivenAdapters()
    model = given.add("poet", write_adapter(tmp_path, llama_shape(), seed=1), base="small")
    assert model.files().name == tmp_path.name
    write_adapter(tmp_path, llama_shape(), seed=2)
    with pytest.raises(Exception, match="has changed on the disk"):
        model.files()
