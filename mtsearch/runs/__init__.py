"""A run on disk or in an object store: events, state, rows, checkpoints. Imports neither torch nor
Ray."""
