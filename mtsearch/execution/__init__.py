"""The search on Ray: cluster, trial actors, worker groups, the Tune callback. The only package that
imports Ray."""
