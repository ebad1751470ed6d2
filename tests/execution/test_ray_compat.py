"""Each private API of Ray in `mtsearch.execution.compat` still behaves as required."""

import os
import subprocess
import sys

import pytest
import ray
from ray.tune.experiment import Trial
from ray.tune.utils.mock_trainable import MOCK_TRAINABLE_NAME, register_mock_trainable

from mtsearch.execution import compat


def in_new_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", f"from mtsearch.execution import compat\n{code}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_counts_match_a_started_cluster(ray_cluster):
    assert compat.cpu_count() == ray.cluster_resources()["CPU"]
    assert compat.gpu_count() == ray.cluster_resources().get("GPU", 0)


def test_dashboard_url_is_empty_without_a_dashboard(ray_cluster):
    assert compat.dashboard_url() == ""


def test_versions_of_the_own_cluster_are_compatible(address):
    versions = compat.cluster_versions(address, timeout=10)
    assert (versions["ray_version"], versions["python_version"]) == compat.own_versions()
    assert compat.compatible(versions)
    assert not compat.compatible({**versions, "ray_version": "2.1.0"})
    assert not compat.compatible({**versions, "python_version": "3.8.0"})


def test_loopback_switch_is_read_by_ray():
    from ray._private import ray_constants

    code = (
        "compat.bind_to_loopback()\nimport os\n"
        "from ray._private import ray_constants as c\n"
        "print(c.ENABLE_RAY_CLUSTER, os.environ[c.ENABLE_RAY_CLUSTERS_ENV_VAR])"
    )
    assert in_new_process(code) == ["False", "0"]
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool)


def test_worker_deaths_are_dropped_from_logs():
    from ray._private import worker
    from ray._private.ray_logging import LogDeduplicator

    assert isinstance(worker.stdout_deduplicator, LogDeduplicator)
    compat.hide_worker_deaths()
    batch = {"ip": "1", "pid": 1, "lines": ["A worker died or was killed while", "other"]}
    (shown,) = worker.stdout_deduplicator.deduplicate(batch)
    assert shown["lines"] == ["other"]


def test_token_is_found_in_the_environment(tmp_path):
    code = "print(compat.enable_token_auth(), compat.has_token())"
    none = {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    assert in_new_process(f"import os; os.environ.pop('RAY_AUTH_TOKEN', None)\n{code}", **none) == [
        "True",
        "False",
    ]
    assert in_new_process(code, **none, RAY_AUTH_TOKEN="a" * 64) == ["True", "True"]
    assert in_new_process(code, RAY_AUTH_MODE="disabled")[0] == "False"


def test_token_that_is_set_later_is_found(tmp_path):
    code = (
        "import os; os.environ.pop('RAY_AUTH_TOKEN', None)\nprint(compat.has_token())\n"
        "os.environ['RAY_AUTH_TOKEN'] = 'a' * 64\nprint(compat.has_token())"
    )
    assert in_new_process(code, HOME=str(tmp_path)) == ["False", "True"]


def test_missing_token_raises(tmp_path):
    code = (
        "import os; os.environ.pop('RAY_AUTH_TOKEN', None)\nfrom ray.exceptions import *\n"
        "try:\n    compat.require_token()\nexcept AuthenticationError:\n    print('raised')"
    )
    assert in_new_process(code, HOME=str(tmp_path), RAY_AUTH_MODE="token") == ["raised"]


def test_address_auto_without_a_cluster_raises(monkeypatch):
    from ray._private import services

    monkeypatch.setattr(services, "find_gcs_addresses", lambda: set())
    monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: None)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ConnectionError):
        compat.address_on_this_machine()


def test_ended_tune_trial_is_emptied():
    register_mock_trainable()
    cleanup = compat.TrialCleanup()
    trials = [Trial(MOCK_TRAINABLE_NAME, config={"job": "x" * 999}, stub=True) for _ in range(2)]
    for trial in trials:
        assert compat.actor_of(trial) is None
        trial.create_placement_group_factory()
        trial.update_last_result({"score": 1, "training_iteration": 1})
        assert "score" in trial.run_metadata.metric_analysis
        cleanup(trial)
        assert trial.config == trial.evaluated_params == trial.run_metadata.metric_analysis == {}
        assert max(map(len, trial.get_json_state())) < 10
    assert trials[0].placement_group_factory is trials[1].placement_group_factory
