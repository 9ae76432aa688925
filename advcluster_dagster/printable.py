"""Text from outside, made safe to print."""


def one_line(text: str, most_characters: int | None = None) -> str:
    """The text on one line: every run of white space and control characters is one blank.

    Args:
        text: any text.
        most_characters: where the line is cut off; None does not cut it.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line[:most_characters]
