"""All tests: one thread each, no deadline for property tests (they check results, not speed), nothing of the user's own settings."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: its OpenMP reads it once
if (data := os.environ.pop("MTSEARCH_DATA", None)) is not None:  # no test may find data by chance; those on real data ask for them
    os.environ["MTSEARCH_TEST_DATA"] = data

from hypothesis import settings

settings.register_profile("mtsearch", deadline=None, max_examples=60)
settings.load_profile("mtsearch")
