"""Property tests check results, not speed: a busy machine would miss hypothesis's deadline."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None, max_examples=60)
settings.load_profile("no_deadline")
