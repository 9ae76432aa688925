"""One simulated model with and without thinking, through the whole platform."""

import re

import pytest

from advcluster_dagster.demo.simulated_family import SimulatedFamily
from advcluster_dagster.demo.simulation.profiles import MODELS, profile_name
from advcluster_dagster.demo.simulation.questions import simulated_questions
from advcluster_dagster.demo.simulation.trials import planted_slips
from advcluster_dagster.models.protocol import ChatReply, ChatRequest
from advcluster_dagster.science.prompting import Message
from tests.studies import ALL_TABLES, SIMULATED, SmallHome, write_study

LABELS = {"larger": "orion with thinking", "smaller": "orion without thinking"}
WAYS = {
    role: {"model": "orion-large", "provider": "simulated", "label": label, "sampling": {"enable_thinking": on}}
    for (role, label), on in zip(LABELS.items(), (True, False), strict=True)
}


@pytest.mark.parametrize(
    ("sampling", "is_thinking"),
    [
        ({}, True),
        ({"enable_thinking": True}, True),
        ({"temperature": 0.0}, True),
        ({"enable_thinking": False}, False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"chat_template_kwargs": None}, True),
    ],
)
def test_thinking_is_switched_as_servers_switch_it(sampling, is_thinking):
    assert (profile_name("orion-large", sampling) == "orion-large") == is_thinking
    prompt = simulated_questions("worked-math", "math", 0)["prompt"][0]
    provider = SimulatedFamily(seed=0)

    def reply(settings):
        request = ChatRequest("orion-large", (Message("user", prompt),), settings, trial=0)
        ((_, outcome),) = provider.complete([request])
        assert isinstance(outcome, ChatReply)
        return outcome

    assert (reply(sampling) == reply({})) == is_thinking
    assert reply(sampling).served_model == "orion-large (simulated)"


@pytest.mark.parametrize("model", MODELS)
def test_a_model_slips_more_often_without_thinking(model):
    with_thinking, without = (
        planted_slips(name, "worked-math", "math", 0, 10).height
        for name in (model, profile_name(model, {"enable_thinking": False}))
    )
    assert 0 < with_thinking < without < 24 * 10


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    small = write_study(tmp_path_factory.mktemp("ways") / "home", SIMULATED | {"families": {"orion": WAYS}})
    assert small.run((*ALL_TABLES, "study_report", "evidence_explorer")).failures == {}
    return small


@pytest.mark.integration
def test_the_gain_from_thinking_is_found(two_ways):
    whole = two_ways.table("paired_accuracies").filter(level="family", task_format="all").row(0, named=True)
    assert whole["difference_low"] > 0
    assert two_ways.table("final_taxonomy").height > 0
    traces = {role: two_ways.table(f"{role}_traces") for role in LABELS}
    assert {name for frame in traces.values() for name in frame["model"]} == {"orion-large"}
    assert traces["larger"]["sampling"].str.contains('"enable_thinking": true').all()
    assert traces["smaller"]["sampling"].str.contains('"enable_thinking": false').all()


@pytest.mark.integration
def test_the_report_names_the_models_by_their_labels_throughout(two_ways):
    page = (two_ways.home.reports / two_ways.name / "report.html").read_text(encoding="utf-8")
    # Remove model output (traces and judges' texts).
    own_text = re.sub(r"<(style|bdi)\b.*?</\1>", "", page, flags=re.DOTALL)
    text = " ".join(re.sub(r"<[^>]+>", " ", own_text).split())
    title = f"Where {LABELS['larger']} excels, and what {LABELS['smaller']} gets wrong first"
    assert title in text
    assert f"{LABELS['larger']} answers" in text
    others = re.findall(r".{0,40}\b(?:larger(?! than chance)|smaller)\b.{0,40}", text, re.IGNORECASE)
    assert others == []
    explorer = (two_ways.home.reports / two_ways.name / "explorer.html").read_text(encoding="utf-8")
    assert f'"larger":"{LABELS["larger"]}","smaller":"{LABELS["smaller"]}","is_labelled":true' in explorer


@pytest.mark.integration
def test_another_label_makes_the_pages_stale_and_asks_nothing(two_ways):
    ways = {role: {**way, "label": f"{way['label']}!"} for role, way in WAYS.items()}
    two_ways.change(families={"orion": ways})
    try:
        assert two_ways.states() <= {"fresh", "no sources"}
        outcome = two_ways.run((*ALL_TABLES, "study_report", "evidence_explorer"))
        assert (outcome.failures, outcome.n_asked) == ({}, 0)
        page = (two_ways.home.reports / two_ways.name / "report.html").read_text(encoding="utf-8")
        assert f"Where {LABELS['larger']}! excels" in page
    finally:
        two_ways.change(families={"orion": WAYS})
