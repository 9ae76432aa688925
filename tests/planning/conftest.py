"""A finished study of the demonstration, shared with the tests of orchestration."""

from tests.orchestration.conftest import _finished_made, made

__all__ = ["_finished_made", "made"]
