"""What is trained next, what is stopped, what is kept: samplers, schedulers and the trial manager.
The only package that imports Optuna."""
