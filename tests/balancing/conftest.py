"""Small tests on a shared machine: one thread, and no deadline for property tests (they check results, not speed)."""

import torch
from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
torch.set_num_threads(1)
