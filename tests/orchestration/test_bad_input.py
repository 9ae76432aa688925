"""Bad input through the whole graph: each kind is reported and counted, and nothing else is lost."""

import json

import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.platform import Platform
from advcluster_dagster.study.partition import Partition
from tests.providers.small_provider import Answer, SmallProvider, chat_completion, embeddings
from tests.studies import write_lines, write_study

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

SUMS = Partition("f", "sums")
UP_TO_CORPUS = list(TABLES)[: list(TABLES).index("extraction_failures") + 1]
#: The larger model's answers to each question; the smaller one is always wrong.
SAID = {
    "good": "\\boxed{5}",
    "also": "\\boxed{\\frac{10}{2}}",
    "broken": "\\boxed{\\frac{5}{}}",  # invalid LaTeX
    "gold": "\\boxed{5}",  # for a gold answer that cannot be parsed
    "empty": "",
    "noise": None,  # no reply: a malformed response
}
GOLD = dict.fromkeys(SAID, "5") | {"gold": "\\frac{"}
ROWS = [
    *(
        {"question_id": name, "question": f"What is {name}?", "answer": answer, "answer_type": "math"}
        for name, answer in GOLD.items()
    ),
    {"question_id": "bare", "question": "What is bare?", "answer_type": "math"},
    {"question_id": "blank", "question": "What is blank?", "answer": " ", "answer_type": "math"},
    {"question_id": "good", "question": "What is good once more?", "answer": "6", "answer_type": "math"},
]
GARBAGE = Answer(b"<html>\x00\xff event: data: {]")


class Server:
    """Both models, extractor and embedder; ``is_mended`` removes the judges' faults."""

    def __init__(self):
        self.is_mended = False

    def __call__(self, path, body, _n_before):
        if path.endswith("embeddings"):
            return Answer(embeddings(body, [self._vector(text) for text in body["input"]]))
        asked = json.dumps(body["messages"])
        if body["model"] == "extractor":
            return Answer(chat_completion(body, self._extraction("What is also?" in asked)))
        (name,) = [name for name in SAID if f"What is {name}?" in asked]
        answer = SAID[name] if body["model"] == "large" else "\\boxed{6}"
        return GARBAGE if answer is None else Answer(chat_completion(body, answer))

    def _extraction(self, is_odd):
        when = "again" if is_odd else "once"
        texts = [f"{verb} each step {when}" for verb in ("Checks", "Tracks", "Restates")]
        described = [{"advantage": text, "evidence": "the last line"} for text in texts]
        reply = {"failure_stage": "Encoding", "failure_description": "spoils it", "advantages": described}
        return "" if is_odd and not self.is_mended else json.dumps(reply)

    def _vector(self, text):
        if text.startswith("Checks") and not self.is_mended:
            return [1.0, 2.0]
        if text.startswith("Tracks") and not self.is_mended:
            return [1.0, float("nan"), 3.0]
        return [1.0, float(len(text)), float(text.count("e"))]


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def odd(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SMALL_KEY", "none")
    served = {name: {"model": name, "provider": "small"} for name in ("large", "little", "extractor", "embedder")}
    with SmallProvider(server) as provider:
        small = write_study(
            tmp_path / "home",
            {
                "study": "odd",
                "trials": 2,
                "families": {"f": {"larger": served["large"], "smaller": served["little"]}},
                "domains": {"sums": ["own"]},
                "benchmarks": {"own": {"source": "jsonl"}},
                "providers": {"small": {"base_url": provider.url, "api_key_env": "SMALL_KEY", "max_retries": 0}},
                "judges": {name: served[name] for name in ("extractor", "embedder")},
                "checks": {"max_ungraded_share": 0.4, "max_extraction_failure_share": 0.5, "max_no_answer_share": 0.1},
            },
        )
        (small.home.root / "benchmarks").mkdir()
        write_lines(small.home.root / "benchmarks" / "own.jsonl", ROWS)
        yield small


def test_each_is_named_and_counted_and_the_rest_is_analysed(odd, server):
    odd.run(UP_TO_CORPUS)
    assert odd.table("benchmark_questions")["question_id"].to_list() == list(SAID)
    assert odd.metadata("benchmark_questions", Partition(domain="sums"))["warnings"] == [
        "benchmark own of domain sums: rows skipped: 3, row 7: no answer; row 8: no answer;"
        " row 9: id good already occurs in row 1"
    ]
    graded = odd.table("graded_trials").filter(role="larger", trial=0)
    assert dict(graded.select("question_id", "verdict").iter_rows()) == {
        "good": "correct",
        "also": "correct",
        "broken": "wrong",
        "gold": "grader_error",
        "empty": "no_answer",
        "noise": "missing_response",
    }
    # Of 12 trials of each model; only those of the larger model are empty or malformed.
    assert odd.metadata("graded_trials", SUMS)["verdicts"] == {
        "wrong": 12, "correct": 4, "grader_error": 4, "missing_response": 2, "no_answer": 2,
    }  # fmt: skip
    failed = odd.table("larger_traces").filter(question_id="noise")
    assert failed["response"].null_count() == 2
    assert failed["finish_reason"].unique().to_list() == ["failed: unreadable_reply"]
    assert odd.metadata("larger_traces", SUMS)["n_failures"] == 2
    # Only questions with all trials of both models scored can be selected: not "gold", not "noise".
    assert odd.table("analysis_question_set")["question_id"].to_list() == ["also", "good"]
    failures = odd.table("extraction_failures").select("pair_id", "reason").rows()
    assert failures == [("also:0", "empty_reply"), ("also:1", "empty_reply")]
    assert odd.table("first_errors")["pair_id"].to_list() == ["good:0", "good:1"]


def test_bad_vectors_are_named_and_block_until_they_are_mended(odd, server):
    # Two pairs of one question with three descriptions each: one valid vector per pair.
    line = "advantage_embeddings: blocking check all_embedded failed (n_texts 6, n_vectors 2, call_failures {why})"
    why = (
        "4 of 6 calls failed:"
        " bad_vector (4): the vector has 2 numbers, not 3 (2), the vector contains NaN or infinite numbers (2)"
    )
    assert odd.run().failures == {SUMS: line.format(why=why)}
    assert odd.table("advantage_embeddings")["advantage_id"].to_list() == ["good:0:2", "good:1:2"]
    facts = odd.metadata("advantage_embeddings", SUMS)
    assert facts["n_failures"] == 4
    assert facts["failures"] == {
        f"good:{pair}:{position}": f"bad_vector: the vector {fault}"
        for pair in (0, 1)
        for position, fault in enumerate(("has 2 numbers, not 3", "contains NaN or infinite numbers"))
    }
    server.is_mended = True
    assert odd.run(platform=Platform(odd.home, retry_failed=True)).failures == {}
    assert odd.table("advantage_embeddings")["advantage_id"].n_unique() == 12
    assert odd.table("extraction_failures").is_empty()


def test_vectors_that_change_their_length_between_runs_say_what_to_do(odd, server):
    server.is_mended = True
    assert odd.run(list(TABLES)[: list(TABLES).index("advantage_embeddings") + 1]).failures == {}
    server._vector = lambda text: [1.0, 2.0, 3.0, 4.0]
    server._extraction = lambda is_odd: Server._extraction(server, is_odd).replace("Tracks", "Writes down")
    (odd.home.root / "benchmarks" / "own.jsonl").write_text("")
    write_lines(odd.home.root / "benchmarks" / "own.jsonl", [{**ROWS[0], "prompt": "Tell me: What is good?"}])
    outcome = odd.run()
    assert outcome.failures == {
        SUMS: "advantage_embeddings: embedder embedder returned vectors of 3 and of 4 numbers; set"
        " judges.embedding_dimensions to one length, so that all are requested again"
    }
