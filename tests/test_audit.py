"""Known vulnerabilities of the installed packages, by pip-audit."""

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig

import pytest


@pytest.mark.slow
def test_installed_packages_have_no_known_vulnerability():
    command = [sys.executable, "-m", "pip_audit"]
    if importlib.util.find_spec("pip_audit") is None:
        command = [shutil.which("pip-audit") or pytest.skip("pip-audit is not installed")]
    options = ["--path", sysconfig.get_path("purelib"), "--format", "json"]
    try:
        done = subprocess.run(
            [*command, *options, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=110,
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError) as error:
        pytest.skip(f"the index of vulnerabilities does not answer ({type(error).__name__})")
    audited = [package for package in packages if "vulns" in package]
    if not any(package["name"] == "torch" for package in audited):
        pytest.skip("the index of vulnerabilities does not know the installed packages")
    found = {p["name"]: [v["id"] for v in p["vulns"]] for p in audited if p["vulns"]}
    assert found == {}
