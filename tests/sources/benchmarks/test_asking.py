import pytest

from advcluster_dagster.sources.benchmarks.asking import ask, format_options, number_answer, split_options


def test_ask_puts_the_request_below_the_problem() -> None:
    assert ask("  Why?\n", "Say so.") == "Why?\n\nSay so."


def test_a_unit_is_named_only_where_there_is_one() -> None:
    assert "unit" not in number_answer("a number")
    assert "in the unit m/s" in number_answer("a number", "m/s")


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("Q\n(A) a\n(B) b\n(C) c\n(D) d", "Q", {"A": "a", "B": "b", "C": "c", "D": "d"}),
        ("Q\n\n[A] a\n\n[B]  b\nb\n\n[C] c\n\n[D] d\n", "Q", {"A": "a", "B": "b\nb", "C": "c", "D": "d"}),
        # A list before the options does not count: the last four are the options.
        ("(A) x\n(B) y\n(A) a\n(B) b\n(C) c\n(D) d", "(A) x\n(B) y", {"A": "a", "B": "b", "C": "c", "D": "d"}),
        ("Q (A) a (B) b (C) c (D) d", "Q (A) a (B) b (C) c (D) d", {}),
        ("Q\n(A) a\n(B) b\n(C) c", "Q\n(A) a\n(B) b\n(C) c", {}),
        ("Q\n(B) b\n(A) a\n(C) c\n(D) d", "Q\n(B) b\n(A) a\n(C) c\n(D) d", {}),
        ("", "", {}),
    ],
)
def test_options_in(text: str, stem: str, options: dict[str, str]) -> None:
    assert split_options(text) == (stem, options)


def test_lettered_options_are_read_back() -> None:
    options = {"A": "one", "B": "two", "C": "three", "D": "four"}
    assert split_options(f"Q\n\n{format_options(options)}") == ("Q", options)
