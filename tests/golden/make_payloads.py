"""Makes payloads_v1.json: payloads as this release writes them, and what they hold.

A release reads what the one before it wrote, so the file of a version is made once and kept. When the version goes up, change
the name here and run it from the root of the repository::

    PYTHONPATH=. python tests/golden/make_payloads.py
"""

import base64
import json
from pathlib import Path

import numpy as np

from service.storage import codec

CASES = {
    "nothing": np.zeros(1_000, np.int64),
    "one row": np.bincount([3, 517, 999], minlength=1_000),
    "dense, one byte": np.arange(1, 101) % 251,
    "dense, two bytes": np.arange(1, 101) * 600,
    "dense, four bytes": np.arange(1, 101) * 40_000_000,
    "dense, eight bytes": np.arange(1, 101) * 10**16,
    "largest": np.array([2**63 - 1]),
    "dense, compressed": np.repeat([1, 2, 3, 300], 250),
    "sparse, compressed": np.where(np.arange(10_000) % 20 == 7, 5, 0),
    "sparse, far apart": np.bincount([0, 299_999], weights=[70_000, 1], minlength=300_000).astype(np.int64),
}


def main() -> None:
    """Write the file."""
    payloads = {
        name: {
            "payload": base64.b64encode(codec.encode_dense(counts)).decode(),
            "n_bins": len(counts),
            "counts": {int(place): int(counts[place]) for place in np.flatnonzero(counts)},
        }
        for name, counts in CASES.items()
    }
    path = Path(__file__).with_name("payloads_v1.json")
    path.write_text(json.dumps(payloads, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
