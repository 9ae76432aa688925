"""Errors of a comparison."""


class UnreadableAnswerError(ValueError):
    """A gold answer that cannot be read as its answer type: the question is at fault, not the response."""


class OversizedAnswerError(ValueError):
    """An answer too long, too deep or too large to be decided within bounds: neither right nor wrong."""
