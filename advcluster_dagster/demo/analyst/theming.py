"""Group clusters into themes, and vote on declared themes, by the words of their definitions."""

import re

from advcluster_dagster.demo.analyst.naming import theme_sentences

_MOST_THEMES = 5
#: Number of long word stems that a text must share with a theme to belong to it.
_SHARED_STEMS = 3


def group_clusters(blocks: str) -> dict[str, object]:
    """Group clusters whose definitions contain the same sentence on how information is handled."""
    clusters = re.findall(r"^id: (.*)\ntag: (.*)\ndefinition: (.*)\ndescriptions: (\d{1,9})$", blocks, re.MULTILINE)
    groups: dict[str, list[tuple[str, str, int]]] = {}
    for identifier, tag, definition, size in clusters:
        theme = next((sentence for sentence in theme_sentences() if sentence in definition), "")
        groups.setdefault(theme, []).append((identifier, tag, int(size)))
    ranked = sorted((key for key in groups if key), key=lambda key: -sum(size for _, _, size in groups[key]))
    kept = [key for key in ranked if len(groups[key]) > 1][:_MOST_THEMES] or ranked[:2]
    themes = [
        {
            "name": " ".join(max(groups[key], key=lambda item: item[2])[1].split()[:4]),
            "definition": key,
            "clusters": [identifier for identifier, _, _ in groups[key]],
        }
        for key in kept
    ]
    rest = [identifier for key, items in groups.items() if key not in kept for identifier, _, _ in items]
    return {"themes": themes, "none": rest}


def vote_on_theme(theme: str, description: str) -> dict[str, object]:
    """Vote whether a description shares enough long words with a theme; quotes the first sentence with one."""
    shared = _stems(theme) & _stems(description)
    sentences = re.split(r"(?<=[.!?])\s+", description)
    phrase = next((text for text in sentences if shared & _stems(text)), "")
    return {"phrase": phrase, "belongs": len(shared) >= _SHARED_STEMS}


def choose_group(groups: str, description: str) -> dict[str, object]:
    """Choose the group whose tag and definition share most long words with a description; the first on a tie."""
    candidates = re.findall(r"^group: (\d{1,9})\ntag: (.*)\ndefinition: (.*)$", groups, re.MULTILINE)
    words = _short_stems(description)
    best = max(candidates, key=lambda group: len(words & _short_stems(f"{group[1]} {group[2]}")), default=("0", "", ""))
    return {"reason": "It shares most words with the definition.", "group": int(best[0])}


def find_intruder(candidates: str) -> dict[str, object]:
    """Choose the description that shares fewest long words with the others; the first on a tie."""
    texts = re.findall(r"^(\d{1,9}): (.*)$", candidates, re.MULTILINE)
    stems = {int(number): _short_stems(text) for number, text in texts}
    shared = {
        number: sum(len(own & other) / max(len(own | other), 1) for at, other in stems.items() if at != number)
        for number, own in stems.items()
    }
    return {"reason": "It shares fewest words with the others.", "intruder": min(shared, key=shared.__getitem__)}


def _short_stems(text: str) -> frozenset[str]:
    return frozenset(word[:5] for word in re.findall(r"[a-z]{4,}", text.lower()))


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:6] for word in re.findall(r"[a-z]{6,}", text.lower()))
