"""Writes `openapi.json`, the OpenAPI document: `PYTHONPATH=. python tests/golden/make_openapi.py`.

The document is public: a change of it is looked at, and told of in the changelog.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from golden_openapi import GOLDEN, document

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(document(Path(folder)))
