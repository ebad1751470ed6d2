"""Samplers, schedulers and the trial manager: which trial is next, which is stopped, which
checkpoints are kept. The only package that imports Optuna."""
