"""Ray and Optuna live here and nowhere else: the search, its trial actors, its run directory."""
