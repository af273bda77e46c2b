"""Settings of hypothesis for all tests."""

import os

from hypothesis import settings

# No deadlines: a slow machine is no fault. In CI the same examples every time; elsewhere new ones with every run.
settings.register_profile("driftline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("driftline")
