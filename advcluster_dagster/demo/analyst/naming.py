"""Name a cluster by its characteristic words.

The analyst sees one cluster at a time, so words are compared with a fixed list of words common in such descriptions.
"""

import re
from collections import Counter
from collections.abc import Sequence


def _word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words that end the phrase after the verb.
_FUNCTION = _word_set(
    "and or of to in on at by for from with without as into that which what when where it its is are be been before "
    "after instead rather than so not no own other against across through throughout until beyond about between "
    "further they this these those their then only just while up out over under during via due per more most less if"
)
_ARTICLES = _word_set("a an the one each every all any both")
#: Words too common in such descriptions to characterise a cluster.
_COMMON = (
    _FUNCTION
    | _ARTICLES
    | _word_set(
        "using use used them was very correctly properly exactly accurately carefully actually stated given required "
        "proper expected right final step steps value values result results solution problem problems rest makes "
        "made make nothing"
    )
)
_ADJECTIVES = _word_set("intermediate governing given stated final required proper expected fitting right numerical")
_PARTICLES = _word_set("over out on up")
#: Subject-specific words, excluded from tags.
_SUBJECT = _word_set(
    "arithmetic numerical formula formulas equation equations mole moles reaction reactant valence velocity speed "
    "force energy current voltage loop loops iteration iterations code program function array string integer "
    "denominator numerator digit digits algebra algebraic geometry chemical physical mathematical"
)

_LONGEST_TAG = 80

#: Sentences on how information is handled, by indicative word stems.
_THEMES: tuple[tuple[str, str], ...] = (
    (
        "copi transcrib read record figur number digit sourc written origin text",
        "What is provided enters the work unchanged, so that later stages start from faithful input.",
    ),
    (
        "condit restrict deduct except includ account incorporat limit honour respect consid",
        "Every constraint of the situation is kept in force, so that no part of it drops out of the account.",
    ),
    (
        "assum invent guess support evid fact suppl",
        "Only what is supported by the description enters the chain of inference.",
    ),
    (
        "question ask goal target request intermediat focus sight",
        "The aim is compared with what has been reached, and the work goes on until both agree.",
    ),
    (
        "ratio proport scal convers invers direct",
        "Corresponding amounts are related in the direction in which one determines the other.",
    ),
    (
        "relat govern law structur princip model deriv formul select choos mechan system",
        "The dependence between the parts is settled from the structure of the situation before any operation starts.",
    ),
    (
        "comput calcul execut perform oper sum product precis slip verif",
        "Once a path is set, each operation is carried out and checked so that no local slip spreads.",
    ),
    (
        "trac simul follow branch state track monitor iter procedur updat evalu rule",
        "Changes are followed one after another in their order, and each decision is taken on the state then reached.",
    ),
    (
        "format answer present express report deliver form output unit represent instruct",
        "What was found is put into the form in which it was asked for, without altering its content.",
    ),
    ("complet finish conclud clos definit end", "The chain of inference is brought to an explicit end."),
    (
        "organ arrang plan connect link coher justif argument",
        "Partial insights are joined so that each one rests on those before it.",
    ),
)
#: Start of the sentence on a second theme.
MIXED_MARK = "Part of the group concerns something else"
_MIXED_SHARE = 0.2
_NO_THEME = "Information is ordered and carried from what is known to a conclusion."


def theme_sentences() -> tuple[str, ...]:
    """Sentences used in definitions to describe how information is handled."""
    return tuple(sentence for _, sentence in _THEMES)


def name_cluster(bullets: str) -> dict[str, str]:
    """Derive tag and definition of a cluster from its descriptions, one bullet per line."""
    texts = [line.lstrip("-*• ").strip() for line in bullets.splitlines()]
    texts = [text for text in texts if re.search(r"[A-Za-z]{3}", text)]
    verbs = Counter(verb for text in texts if (verb := _verb_of(text)))
    noun = _leading(Counter(object_noun for text in texts if (object_noun := _object_of(text))), "information")
    acting = Counter(
        verb
        for text in texts
        if _object_of(text) == noun and (verb := _verb_of(text))[:5] not in [word[:5] for word in noun.split()]
    )
    tag = f"{_leading(acting or verbs, 'organising')} {noun}".title()[:_LONGEST_TAG]
    return {"tag": tag, "definition": _definition(texts, verbs, noun)}


def _definition(texts: Sequence[str], verbs: Counter[str], noun: str) -> str:
    marking = [word for word, _ in _content_words(texts).most_common(6) if word not in noun.split()][:3]
    doing = [verb for verb, _ in verbs.most_common(3)]
    first = f"The solver attends to {noun}, typically by {_listed(doing) or 'ordering what is known'}."
    last = f"Descriptions in this group are marked by the words {_listed(marking)}." if marking else ""
    return " ".join(part for part in (first, _theme(texts), last) if part)


def _theme(texts: Sequence[str]) -> str:
    """Describe how the texts handle information; a second theme is added if enough of them share it."""
    counts = Counter(theme for text in texts if (theme := _theme_of(text)))
    first, *others = [theme for theme, _ in counts.most_common(2)] or [_NO_THEME]
    if not others or counts[others[0]] < _MIXED_SHARE * len(texts):
        return first
    return f"{first} {MIXED_MARK}: {others[0][0].lower()}{others[0][1:]}"


def _theme_of(text: str) -> str:
    """The theme that most words of a text indicate; empty if none do."""
    words = _words(text)
    weights = [sum(word.startswith(stem) for word in words for stem in stems.split()) for stems, _ in _THEMES]
    return _THEMES[weights.index(max(weights))][1] if any(weights) else ""


def _object_of(text: str) -> str:
    """The one or two words that name the object of the leading verb; empty if there are none."""
    span: list[str] = []
    words = _words(text)[1:]
    for word in words[1:] if words and words[0] in _PARTICLES else words:
        if word in _FUNCTION or (span and word.endswith(("ed", "ly"))):
            break
        if word not in _ARTICLES | _SUBJECT:
            span.append(word)
    while span and span[-1] in _ADJECTIVES:
        span.pop()
    return " ".join(span[-2:])


def _verb_of(text: str) -> str:
    """The leading verb in its -ing form, with its particle."""
    words = _words(text)
    if not words:
        return ""
    return f"{_gerund(words[0])} {words[1]}" if words[1:] and words[1] in _PARTICLES else _gerund(words[0])


def _content_words(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in _words(text)[1:] if _is_content(word))


def _is_content(word: str) -> bool:
    return word not in _COMMON and word not in _SUBJECT


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()[:500]) if len(word) < 25]


def _leading(counts: Counter[str], default: str) -> str:
    """The most frequent entry, ties broken alphabetically."""
    return min(counts, key=lambda entry: (-counts[entry], entry), default=default)


def _gerund(verb: str) -> str:
    """The -ing form of a verb in the third person.

    >>> _gerund("copies"), _gerund("traces"), _gerund("computes"), _gerund("sets"), _gerund("accounts")
    ('copying', 'tracing', 'computing', 'setting', 'accounting')
    """
    if verb.endswith("ing"):
        return verb
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "ying"
    stem = verb
    if re.search(r"(?:ss|sh|ch|x|zz|o)es$", verb):
        stem = verb[:-2]
    elif verb.endswith("s") and not verb.endswith("ss"):
        stem = verb[:-1]
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", stem):
        return stem + stem[-1] + "ing"
    return (stem[:-1] if stem.endswith("e") and not stem.endswith("ee") else stem) + "ing"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
