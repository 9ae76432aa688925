"""ZeroEval's result files as questions and traces to import.

``python -m tests.cases.zeroeval.convert FILE ANSWER_TYPE FOLDER`` writes questions.jsonl and traces.jsonl there.
A result file is a JSON array of one greedy reply each; the reply is itself JSON in text with a field "answer".
"""

import json
import sys
from pathlib import Path
from typing import Any


def convert(rows: list[dict[str, Any]], answer_type: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Questions and traces of a result file's rows; a question's id is the row's, with the data set in front."""
    questions, traces = [], []
    for row in rows:
        question_id = f"{row['dataset']}-{row['id']}".replace("#", "")
        text = row.get("question") or row["problem"]
        questions.append(
            {"question_id": question_id, "question": text, "answer": str(row["answer"]), "answer_type": answer_type}
        )
        reply = row["output"][0] if row["output"] else None
        model = row["generator"].rsplit("/", 1)[-1]
        traces.append({"question_id": question_id, "model": model, "trial": 0, "response": reply})
    return questions, traces


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    source, kind, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("questions", "traces"), convert(json.loads(source.read_text()), kind), strict=True):
        write(folder / f"{name}.jsonl", content)
