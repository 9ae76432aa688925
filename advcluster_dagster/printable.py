"""Make untrusted text safe to print."""


def one_line(text: str, most_characters: int | None = None) -> str:
    """Put text on one line, replacing each run of whitespace and control characters by one space.

    Args:
        text: any text.
        most_characters: maximum length; None for no limit.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line[:most_characters]
