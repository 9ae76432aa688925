"""Base class of errors that a user can act on."""


class AdvClusterError(Exception):
    """An expected error; its one-line message says what is wrong, where, and what to do.

    The command line prints only the message, and a Dagster step fails with it. Any other exception is a bug and keeps
    its traceback.
    """
