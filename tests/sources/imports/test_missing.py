"""Missing imports are listed with the command to run."""

from advcluster_dagster.sources.imports.missing import missing_imports
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces


def test_questions_come_first_then_the_traces_of_each_model(write, study, root):
    place = "--study sums --domain math --benchmark"
    nothing = [
        f"benchmark {name} of domain math has no questions: advcluster import questions FILE {place} {name}"
        for name in ("addition", "subtraction")
    ]
    assert missing_imports(root, study, "math") == nothing
    question = {"question_id": "q", "question": "?", "answer": "1", "answer_type": "text"}
    import_questions(write(question), study, "math", "addition", root)
    without = "benchmark addition of domain math has no traces of the"
    command = "advcluster import traces FILE --family"
    assert missing_imports(root, study, "math") == [
        f"{without} larger model org/large and the smaller model small: {command} f {place} addition",
        f"{without} smaller model tiny: {command} g {place} addition",  # its larger model is served
        nothing[1],
    ]
    trace = {"question_id": "q", "model": "large", "trial": 0, "response": "1"}
    import_traces(write(trace, trace | {"model": "small"}), study, "f", "math", "addition", root)
    assert missing_imports(root, study, "math", "f") == nothing[1:]
    assert missing_imports(root, study, "physics") == []  # its questions are simulated
