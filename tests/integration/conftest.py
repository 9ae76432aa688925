"""Fixtures of the browser tests: one browser, and pages that record their requests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from tests.browsers import Visit, chromium, find_chromium, visit


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser per module: while it is open, its event loop prevents Dagster runs in this process."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
    if find_chromium() is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with chromium() as launched:
        yield launched


@pytest.fixture
def open_page(browser: Any) -> Callable[..., AbstractContextManager[Visit]]:
    """Function that opens a new page; arguments are those of a browser context."""
    return partial(visit, browser)
