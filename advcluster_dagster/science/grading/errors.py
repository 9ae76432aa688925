"""Errors of a comparison."""


class UnreadableAnswerError(ValueError):
    """The gold answer cannot be parsed as its answer type: a fault of the question, not of the response."""


class OversizedAnswerError(ValueError):
    """An answer exceeds the bounds on length, nesting or magnitude, so it is neither right nor wrong."""
