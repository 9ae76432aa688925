"""Weaknesses of the simulated models: which skills they lack and how often, and the plan of a trial."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any, Literal

from advcluster_dagster.demo.simulation.problems import Problem, Slip

Outcome = Literal["complete", "cut_off", "unanswered"]


@dataclass(frozen=True)
class Profile:
    """A simulated model.

    ``weights`` are the relative frequencies of lacking each skill. ``difficulty`` holds the shares, in [0, 1], of
    questions on which it has a firm weakness (one skill fails in most trials), a diffuse one (varying skills fail) or a
    slight one; on the others it rarely fails. With ``is_enumerating`` it numbers its steps.
    """

    weights: Mapping[str, float]
    difficulty: Mapping[str, float]
    is_enumerating: bool


@dataclass(frozen=True)
class TrialPlan:
    """Plan of a trial: at most one slip, and whether the response is complete."""

    slip: Slip | None
    outcome: Outcome


_ORION = {
    "copying_values": 1.6, "executing_steps": 1.4, "keeping_the_goal": 1.2, "stating_results": 1.0,
    "covering_conditions": 3.5, "choosing_relations": 3.0, "orienting_ratios": 2.5, "following_state": 2.5,
}  # fmt: skip
_LYRA = {
    "copying_values": 1.0, "executing_steps": 1.0, "keeping_the_goal": 2.0, "stating_results": 2.0,
    "covering_conditions": 3.5, "choosing_relations": 2.5, "orienting_ratios": 3.0, "following_state": 3.0,
}  # fmt: skip
_LARGER = {"firm": 0.06, "diffuse": 0.04, "slight": 0.2}
_SMALLER = {"firm": 0.33, "diffuse": 0.21, "slight": 0.21}

_SMALLER_WITHOUT_THINKING = {"firm": 0.45, "diffuse": 0.25, "slight": 0.15}

_MODELS = {
    "orion-large": Profile(_ORION, _LARGER, False),
    "orion-small": Profile(_ORION, _SMALLER, False),
    "lyra-large": Profile(_LYRA, _LARGER, True),
    "lyra-small": Profile(_LYRA, _SMALLER, True),
}
_WITHOUT_THINKING = " without thinking"
#: Names of the simulated models.
MODELS = tuple(_MODELS)
#: Profiles by model, with and without thinking: without, the same weaknesses on more questions.
PROFILES: dict[str, Profile] = _MODELS | {
    f"{name}{_WITHOUT_THINKING}": replace(
        profile, difficulty=_SMALLER if profile.difficulty is _LARGER else _SMALLER_WITHOUT_THINKING
    )
    for name, profile in _MODELS.items()
}

#: Probability of a slip in a trial, by the kind of weakness on the question.
_SLIP_RATES = {"firm": 0.92, "diffuse": 0.86, "slight": 0.22, "none": 0.03}
_N_DIFFUSE_SKILLS = 3
_N_STRATUM = 24
_CUT_OFF_RATE = 0.012
_UNANSWERED_RATE = 0.008


def profile_name(model: str, sampling: Mapping[str, Any]) -> str:
    """Name of the profile of a model with these sampling settings.

    A model thinks unless ``enable_thinking`` is false, in the settings or in their ``chat_template_kwargs``, as with
    servers of thinking models. Other settings have no effect on a simulated model.

    >>> profile_name("orion-large", {"enable_thinking": False})
    'orion-large without thinking'
    """
    template = sampling.get("chat_template_kwargs")
    switches = (sampling, template if isinstance(template, Mapping) else {})
    is_off = any(switch.get("enable_thinking") is False for switch in switches)
    return f"{model}{_WITHOUT_THINKING}" if is_off else model


def stream(*parts: object) -> Random:
    """Random generator seeded by the parts; equal parts give equal streams in every process."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def plan_trial(model: str, problem: Problem, seed: int, trial: int) -> TrialPlan:
    """Plan a model's trial on a problem.

    Raises:
        KeyError: the simulated model does not exist.
    """
    rate, skills = _weakness(model, problem, seed)
    rng = stream(seed, "trial", model, problem.prompt, trial)
    chance = rng.random()
    if chance < _CUT_OFF_RATE:
        return TrialPlan(None, "cut_off")
    if chance < _CUT_OFF_RATE + _UNANSWERED_RATE:
        return TrialPlan(None, "unanswered")
    if not skills or rng.random() >= rate:
        return TrialPlan(None, "complete")
    return TrialPlan(rng.choice(problem.slips[rng.choice(skills)]), "complete")


def _weakness(model: str, problem: Problem, seed: int) -> tuple[float, list[str]]:
    """Probability of a slip on this problem, and the skills that fail on it.

    Both are stratified over blocks of ``_N_STRATUM`` questions, in random order: the shares of difficulty and, within
    one difficulty, the weights of the skills.
    """
    benchmark, _, number = problem.question_id.rpartition("-")
    stratum = f"{seed} {model} {benchmark} {int(number) // _N_STRATUM}"
    position = (_shuffled_ranks(stratum)[int(number) % _N_STRATUM] + 0.5) / _N_STRATUM
    kind, within = _difficulty(PROFILES[model], position)
    offset = stream("skills", stratum).random()
    n_skills = 1 if kind == "firm" else _N_DIFFUSE_SKILLS
    picks = [(within + offset + index / n_skills) % 1 for index in range(n_skills)]
    weights = {skill: PROFILES[model].weights[skill] for skill in sorted(problem.slips)}
    return _SLIP_RATES[kind], [_at_position(weights, pick) for pick in picks] if weights else []


def _difficulty(profile: Profile, position: float) -> tuple[str, float]:
    """Difficulty at a position in [0, 1) of the cumulative shares, and the relative position within its share."""
    for kind, share in profile.difficulty.items():
        if position < share:
            return kind, position / share
        position -= share
    return "none", position


def _at_position(weights: Mapping[str, float], position: float) -> str:
    """Entry at a position in [0, 1) of the cumulative weights."""
    remaining = position * sum(weights.values())
    for name, weight in weights.items():
        if remaining < weight:
            return name
        remaining -= weight
    return name


@cache
def _shuffled_ranks(name: str) -> list[int]:
    ranks = list(range(_N_STRATUM))
    stream("difficulty", name).shuffle(ranks)
    return ranks
