"""The files of launch/ against the schemas of the programs that read them."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

import mtsearch
from mtsearch.config.overrides import split_pairs
from mtsearch.config.reading import load_space

ROOT = Path(mtsearch.__file__).parents[1]
LAUNCH = ROOT / "launch"
pytestmark = pytest.mark.skipif(
    not LAUNCH.is_dir(), reason="these tests read the clone that the package was built from"
)
CLOUDS = ("aws", "gcp", "azure")
TEXT, COUNT, WORDS = (
    {"type": "string"},
    {"type": "integer", "minimum": 0},
    {"type": "object", "additionalProperties": {"type": "string"}},
)


def read(name: str):
    return yaml.safe_load((LAUNCH / name).read_text())


def shape(required: str, **properties):
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def several(items):
    return {"type": "array", "items": items, "minItems": 1}


def pod(container: str):
    """The part of a pod template that our manifest uses, as Kubernetes has it."""
    mount = shape("name mountPath", name=TEXT, mountPath=TEXT)
    one = shape(
        "name image resources",
        name={"const": container},
        image=TEXT,
        resources=shape("requests limits", requests=WORDS, limits=WORDS),
        volumeMounts=several(mount),
    )
    claim, memory = (
        shape("claimName", claimName=TEXT),
        shape("", medium={"enum": ["", "Memory"]}, sizeLimit=TEXT),
    )
    spec = shape(
        "containers",
        containers=several(one),
        volumes=several(shape("name", name=TEXT, persistentVolumeClaim=claim, emptyDir=memory)),
        securityContext=shape("", runAsNonRoot={"type": "boolean"}, runAsUser=COUNT, fsGroup=COUNT),
        terminationGracePeriodSeconds=COUNT,
        tolerations=several(
            shape("", key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT, effect=TEXT)
        ),
    )
    return shape("spec", spec=spec)


# The fields of KubeRay's ray.io/v1 RayJob that our manifest uses.
RAYJOB = shape(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=shape("name", name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"}),
    spec=shape(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=shape(
            "rayVersion headGroupSpec workerGroupSpecs",
            rayVersion=TEXT,
            authOptions=shape("mode", mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling={"type": "boolean"},
            autoscalerOptions=shape("", idleTimeoutSeconds=COUNT),
            headGroupSpec=shape("template", rayStartParams=WORDS, template=pod("ray-head")),
            workerGroupSpecs=several(
                shape(
                    "groupName template",
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=WORDS,
                    template=pod("ray-worker"),
                )
            ),
        ),
    ),
)


@pytest.mark.parametrize("name", [*CLOUDS, "local"])
def test_cluster_files_fit_the_schema_of_ray(name):
    # Adds the provider's defaults, as `ray up` does.
    config = prepare_config(read(f"cluster_{name}.yaml"))
    validate_config(config)
    assert config["provider"]["type"] == name
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**config, "idle_timeout": 5})


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_have_bounded_idle_released_spot_gpus(
    name,
):
    config = prepare_config(read(f"cluster_{name}.yaml"))
    head, gpu = config["available_node_types"]["head"], config["available_node_types"]["gpu"]
    assert (
        head["resources"]["CPU"] == 0
        and head["max_workers"] == 0
        and "GPU" not in head["resources"]
    )
    assert (
        gpu["resources"]["GPU"] == 1
        and 0 < gpu["min_workers"] < gpu["max_workers"] == config["max_workers"]
    )
    assert 0 < config["idle_timeout_minutes"] <= 15
    spot = {
        "aws": lambda node: node["InstanceMarketOptions"]["MarketType"] == "spot",
        "gcp": lambda node: node["scheduling"][0]["preemptible"] is True,
        "azure": lambda node: node["azure_arm_parameters"]["priority"] == "Spot",
    }[name]
    assert spot(gpu["node_config"])
    with pytest.raises((KeyError, AssertionError)):
        assert spot(head["node_config"])


@pytest.mark.parametrize("name", [*CLOUDS, "local"])
def test_launched_nodes_require_a_token(name):
    config = read(f"cluster_{name}.yaml")
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for kind in ("head", "worker"):
        starts = [line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line]
        assert (
            len(starts) == 1
            and "RAY_AUTH_MODE=token" in starts[0]
            and "dashboard-host" not in starts[0]
        )


def test_commands_end_no_other_cluster():
    config = read("cluster_local.yaml")
    commands = [
        line for kind in ("head", "worker") for line in config[f"{kind}_start_ray_commands"]
    ]
    assert not any("ray stop" in line for line in commands)
    assert sum("stop_cluster.sh" in line for line in commands) == 2
    assert all("--temp-dir=/tmp/mtsearch-ray" in line for line in commands if "ray start" in line)


def test_the_rayjob_has_fields_that_kuberay_knows():
    manifest = read("kuberay.yaml")
    jsonschema.validate(manifest, RAYJOB)
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, RAYJOB)


def test_rayjob_names_existing_spaces_and_mounts():
    spec = read("kuberay.yaml")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "mtsearch.run"]
    own, overrides = split_pairs(
        [word for word in words[3:] if not word.startswith("-")], ("space",)
    )
    config = load_space(own["space"], overrides, None).config
    cluster = spec["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert (
        config.resources.gpu == 1
        and group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
        == "1"
    )
    assert (
        int(yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["MTSEARCH_NODES"])
        == 1 + group["minReplicas"]
    )
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        mounts = {
            m["name"]: m["mountPath"]
            for c in template["spec"]["containers"]
            for m in c["volumeMounts"]
        }
        assert set(mounts) == {volume["name"] for volume in template["spec"]["volumes"]}
        assert str(config.results.root).startswith(mounts["shared"])
    assert cluster["authOptions"] == {"mode": "token"} and spec["shutdownAfterJobFinishes"]


def test_all_files_name_one_image_of_this_version():
    found = {
        re.search(r"REGISTRY/mtsearch:(\S+)", (LAUNCH / name).read_text())[1]
        for name in ("Containerfile", "kuberay.yaml")
    }
    found |= {read(f"cluster_{name}.yaml")["docker"]["image"].partition(":")[2] for name in CLOUDS}
    assert found == {mtsearch.__version__}
    assert re.fullmatch(
        r"2\.\d+\.\d+", read("kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"]
    )


def instructions():
    """The Containerfile's instructions and their words, continued lines joined and comments left
    out."""
    lines = [
        line
        for line in (LAUNCH / "Containerfile").read_text().splitlines()
        if not line.startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def test_image_installs_the_wheel_and_sets_a_user():
    kinds = [kind for kind, _ in instructions()]
    assert kinds[0] == "FROM" and set(kinds) <= {
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "WORKDIR",
        "CMD",
    }
    last = dict(instructions())
    assert re.fullmatch(r"docker\.io/library/python:3\.1\d-slim", last["FROM"])
    assert last["USER"] == "ray" and kinds.index("USER") > max(
        i for i, kind in enumerate(kinds) if kind == "RUN"
    )
    assert any(
        "useradd" in words and "--uid 1000" in words
        for kind, words in instructions()
        if kind == "RUN"
    )
    assert last["COPY"].startswith("dist/*.whl ")
    assert last["CMD"] == '["python", "-m", "mtsearch.run", "--help"]'  # needs no network
    for kind, words in instructions():
        if kind == "RUN":
            subprocess.run(["sh", "-n", "-c", words], check=True)


def test_stop_script_is_valid_shell():
    subprocess.run(["sh", "-n", str(LAUNCH / "stop_cluster.sh")], check=True)


def test_installed_ray_version_fits_the_files():
    made_for = read("kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"]
    assert ray.__version__.split(".")[0] == made_for.split(".")[0]
