"""Whether every GPU path works, and what a GPU gains: `python benchmarks/gpu.py [--part NAME]`.

Parts: `equal` (losses on the device and on the CPU), `fast` (`Trial` beside a plain loop), `data`
(images from encoded files beside images in memory) and `share` (several trials on one device).
`--device cpu` runs a small form of each as a smoke test, without bars of speed. Prints a row per
check and one line of JSON at the end; exit code 1 where a check failed. Needs neither Ray nor a
network; `docs/gpu.md` describes the bundle for a machine that has only torch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "8")

import torch
from gpu_parts.common import Setup

import mtsearch

PARTS = ("equal", "fast", "data", "share")


def main() -> int:
    """Run the parts; 1 where a check failed, 2 without the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="rows that do not fit are left")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: torch finds no GPU. Use `--device cpu` for the smoke test.", file=sys.stderr)
        return 2
    smoke = given.device == "cpu"
    setup = Setup(torch.device(given.device), smoke, time.monotonic() + 60 * given.minutes)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = "CPU" if smoke else torch.cuda.get_device_name()
    print(f"{name}, {torch.cuda.device_count()} GPU(s), torch {torch.__version__}")
    parts, passed = {}, True
    for part in given.part or PARTS:
        start = time.monotonic()
        print(part, flush=True)
        results = importlib.import_module(f"gpu_parts.{part}").run(setup)
        seconds = time.monotonic() - start
        print(f"  {seconds:.0f} s", flush=True)
        parts[part] = {"passed": results.passed, "seconds": seconds, "rows": results.rows}
        passed = passed and results.passed
    about = {"benchmark": "gpu", "device": name, "torch": torch.__version__, "smoke": smoke}
    commit = Path(__file__).with_name("COMMIT")  # of a bundle
    about |= {"mtsearch": mtsearch.__version__}
    about |= {"commit": commit.read_text().strip() if commit.is_file() else "this checkout"}
    print(json.dumps({**about, "passed": passed, "parts": parts}, default=str))
    return int(not passed)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
