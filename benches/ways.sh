#!/usr/bin/env bash
# How long until a fleet of 224 agents is off, and until it is back on the release before?
#
#   cargo build --release --locked && benches/ways.sh [--rounds 3] [--programs target/release] [--template support]
#
# Two releases, the second deployed over the first. Then in turns: `rollback run --mode full` (and a deployment forth
# again, not counted), and `rollback run --mode immediate` (and on again), each timed by the clock outside, from the
# command to its end, which is after the proof: nothing of the fleet alive, or all of it ready for three seconds on the
# release. Goals: 10 s and 60 s. Exit status 1 if one is missed.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=benches PYTHONDONTWRITEBYTECODE=1 exec python3 - "$@" <<'PYTHON'
import argparse, os, statistics, sys, time
from fleet import Fleet

GOALS = {"immediate": 10.0, "full": 60.0}
wish = argparse.ArgumentParser()
wish.add_argument("--rounds", type=int, default=3)
wish.add_argument("--programs", default="target/release")
wish.add_argument("--template", default="support")
wish = wish.parse_args()

def must(fleet, *args):
    """Seconds that it took."""
    began = time.monotonic()
    code, said = fleet.ctl(*args, "--timeout", "10m", limit=900)
    if code != 0:
        sys.exit(f"`agentctl {' '.join(args)}` ended with {code}: {said[-2000:]}")
    return time.monotonic() - began

def ready(fleet):
    status = fleet.json("status") or {}
    return status.get("verdict") == "healthy"

with Fleet(wish.programs, wish.template) as fleet:
    if not fleet.well:
        sys.exit(f"{wish.template} did not come up")
    agents = len((fleet.json("status", "--all") or {}).get("agents", []))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {agents} agents\n")
    why = ["--reason", "a measurement", "--yes"]
    must(fleet, "release", "create", "--note", "one")
    must(fleet, "deploy", "r-1", "--unproved", *why)
    must(fleet, "release", "bless", "r-1", "--unproved", "--reason", "a measurement")
    # What ships the same is no release of its own.
    with open(os.path.join(fleet.home, "agentd.toml"), "a", encoding="utf-8") as manifest:
        manifest.write("\n# The second release.\n")
    must(fleet, "release", "create", "--note", "two")
    took = {"deploy": [], "full": [], "immediate": []}
    for _ in range(wish.rounds):
        took["deploy"].append(must(fleet, "deploy", "r-2", "--unproved", *why))
        took["full"].append(must(fleet, "rollback", "run", *why))
        took["immediate"].append(must(fleet, "rollback", "run", "--mode", "immediate", *why))
        must(fleet, "system", "on")
        until = time.monotonic() + 120
        while not ready(fleet):
            if time.monotonic() > until:
                sys.exit("the fleet did not come back")
            time.sleep(0.2)
missed = 0
for way, times in took.items():
    goal = GOALS.get(way)
    late = goal is not None and statistics.median(times) >= goal
    missed += late
    print(f"{way}: {statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f}) s"
          + (f", goal < {goal:.0f} s{' MISSED' if late else ''}" if goal else ""))
sys.exit(1 if missed else 0)
PYTHON
