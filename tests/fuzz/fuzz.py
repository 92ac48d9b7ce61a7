"""Coverage-guided fuzzing of one target, or of all in turn: `make fuzz` (needs the extra `fuzz`).

    python tests/fuzz/fuzz.py [--runs 100000] [TARGET …]

Prints one JSON object: the inputs tried of each target. A finding ends it with the input's file.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

SECONDS_AN_INPUT = 10
MEMORY_MIB = 2048


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000, help="inputs of each target")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    if options.in_process:
        fuzz_one(options.targets[0], options.runs)
        return
    from seeds import seeds
    from targets import TARGETS

    tried = {}
    for name in options.targets or TARGETS:
        print(f"{name}: {options.runs} inputs …", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            for number, data in enumerate(seeds()[name]):
                (Path(folder) / f"seed{number}").write_bytes(data)
            command = [sys.executable, __file__, "--in-process", "--runs", str(options.runs), name]
            done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
        # libFuzzer's alarm may still ring when it has done all and Python is ending.
        ended_well = done.returncode == -signal.SIGALRM and f"Done {options.runs} in" in done.stderr
        if done.returncode and not ended_well:
            print(done.stdout + done.stderr, file=sys.stderr)
            sys.exit(1)
        tried[name] = options.runs
    print(json.dumps(tried))


def fuzz_one(name: str, runs: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["undertone"]):
        from targets import TARGETS
    target = TARGETS[name]
    folder = sys.argv[-1]
    limits = [
        f"-atheris_runs={runs}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-rss_limit_mb={MEMORY_MIB}",
    ]
    atheris.Setup([sys.argv[0], *limits, "-max_len=8192", "-seed=17", folder], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
