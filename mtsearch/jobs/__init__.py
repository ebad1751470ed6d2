"""The work of one process: a job, a single training, the end of a run, and the checks before it.
Imports neither Ray nor Optuna."""
