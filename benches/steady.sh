#!/usr/bin/env bash
# Does a healthy idle fleet get the same answer each time?
#
#   benches/steady.sh [--times 50] [--load 0] [--template bookedbarber] [--programs target/release]
#
# --load so many processes that do nothing but spin beside it: outcomes outside of performance must still be the same,
# and no timing may fail for it. The first run is not counted: it may be the first ever, which a check may speak of.
# Exit status: 0 if every run said the same, 1 if one did not, 3 if there is nothing to ask.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=benches PYTHONDONTWRITEBYTECODE=1 exec python3 - "$@" <<'PYTHON'
import argparse, collections, subprocess, sys, time
from fleet import Fleet, outcomes

wish = argparse.ArgumentParser()
wish.add_argument("--times", type=int, default=50)
wish.add_argument("--load", type=int, default=0)
wish.add_argument("--template", default="bookedbarber")
wish.add_argument("--programs", default="target/release")
wish = wish.parse_args()

def timed(report):
    return {finding["id"] for finding in report["findings"] if finding["category"] == "performance"}

spinning, counted, first, differ = [], collections.Counter(), None, 0
with Fleet(wish.programs, wish.template) as fleet:
    if not fleet.well:
        sys.exit(f"the fleet did not come up: {fleet.json('status')}")
    spin = [sys.executable, "-c", "while True: pass"]
    try:
        spinning = [subprocess.Popen(spin, stdin=subprocess.DEVNULL) for _ in range(wish.load)]
        for time_ in range(wish.times + 1):
            began = time.monotonic()
            report = fleet.validate()
            if report is None:
                print(f"run {time_}: no report")
                sys.exit(3)
            now = outcomes(report)
            exempt = timed(report) if wish.load else set()
            compared = {id: outcome for id, outcome in now.items() if id not in exempt}
            # What a loaded machine leaves unmeasured is an error; it is never a failure.
            failed = {id: now[id] for id in exempt if now[id] == "fail"}
            if time_ == 0:
                continue
            first = first or compared
            changed = {id: f"{first.get(id)} -> {compared.get(id)}" for id in {*first, *compared}
                       if first.get(id) != compared.get(id)} | failed
            counted[tuple(sorted(changed.items()))] += 1
            differ += bool(changed)
            print(f"run {time_:3}: {report['verdict']}, {time.monotonic() - began:.1f} s"
                  + "".join(f"\n  {id}: {what}" for id, what in sorted(changed.items())), flush=True)
    finally:
        for process in spinning:
            process.kill()
            process.wait()
print(f"\n{wish.times - differ} of {wish.times} runs said the same of {len(first)} checks, {wish.load} processes spinning")
sys.exit(1 if differ else 0)
PYTHON
