"""Write OpenLineage events to a JSON Lines file, or send them to a server over HTTP.

A server's key is read from the environment only.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider

from advcluster_dagster.audit.records import AuditError
from advcluster_dagster.storage.files import atomic_write

#: Environment variable with a server's key, the same as for OpenLineage's own clients.
KEY_VARIABLE = "OPENLINEAGE_API_KEY"
_ENDPOINT = "api/v1/lineage"


def emit(events: Iterable[RunEvent], to: str) -> int:
    """Write events to a file, replacing it, or send them to a server (http:// or https://); return their number.

    A server URL without a path gets OpenLineage's default, ``/api/v1/lineage``.

    Raises:
        AuditError: the file cannot be written, or the server rejects an event.
    """
    return _send(events, to) if to.startswith(("http://", "https://")) else _write(events, Path(to))


def _write(events: Iterable[RunEvent], path: Path) -> int:
    n_events = 0
    try:
        with atomic_write(path) as staged, staged.open("w", encoding="utf-8") as file:
            for event in events:
                file.write(Serde.to_json(event) + "\n")
                n_events += 1
    except OSError as error:
        raise AuditError(f"{path}: cannot be written: {error.strerror}") from None
    return n_events


def _send(events: Iterable[RunEvent], url: str) -> int:
    parts = urlsplit(url)
    key = os.environ.get(KEY_VARIABLE)
    config = HttpConfig(
        url=f"{parts.scheme}://{parts.netloc}",
        endpoint=parts.path.lstrip("/") or _ENDPOINT,
        timeout=30,
        auth=ApiKeyTokenProvider({"api_key": key}) if key else TokenProvider({}),
        retry={"total": 3, "backoff_factor": 0.2, "status_forcelist": [502, 503, 504], "allowed_methods": ["POST"]},
    )
    transport = HttpTransport(config)
    n_events = 0
    try:
        for event in events:
            transport.emit(event)
            n_events += 1
    except requests.RequestException as error:
        status = error.response.status_code if error.response is not None else None
        reason = f"status {status}" if status else type(error).__name__
        raise AuditError(
            f"{parts.hostname}: event {n_events + 1} could not be sent ({reason}); {n_events} were sent"
        ) from None
    finally:
        transport.close()
    return n_events
