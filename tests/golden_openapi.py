"""The OpenAPI document as it is kept in `tests/golden`."""

import json
from pathlib import Path

from serving import merge_sketches, settings_of
from stores import FakeClock

from service.app import Service
from service.storage.memory import MemoryStore

GOLDEN = Path(__file__).parent / "golden" / "openapi.json"


def document(folder):
    """The document as it is served, but for the version of the release."""
    clock = FakeClock()
    store = MemoryStore(clock, merge_sketches=merge_sketches)
    made = Service(settings_of(folder), store, clock, {}).application.openapi
    return json.dumps(made | {"info": made["info"] | {"version": "0"}}, indent=1, sort_keys=True) + "\n"
