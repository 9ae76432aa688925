"""The base class of errors that a user can act on."""


class AdvClusterError(Exception):
    """An expected error: its message is one line that says what is wrong, where, and what to do.

    The command line prints the line alone and a Dagster step fails with it. Every other exception is a fault of the
    program and keeps its traceback.
    """
