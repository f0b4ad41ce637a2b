#!/usr/bin/env bash
# How long does a validation take, and what does the fleet's own traffic feel of it?
#
#   cargo build --release --locked && benches/validate.sh [--rounds 5] [--programs target/release] [TEMPLATE ...]
#
# For each template (default: bookedbarber, and support with its 224 agents): the median of so many validations with all
# proofs, and the 95th percentile of GET /health at the agents that serve HTTP, asked at a steady pace, while a
# validation runs and while none does, in turns. Goals: 10 s, 20 s, and a ratio of 1.2. Exit status 1 if one is missed.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=benches PYTHONDONTWRITEBYTECODE=1 exec python3 - "$@" <<'PYTHON'
import argparse, http.client, os, statistics, sys, threading, time
from fleet import Fleet

GOALS = {"bookedbarber": 10.0, "support": 20.0}
PACE = 0.01
wish = argparse.ArgumentParser()
wish.add_argument("--rounds", type=int, default=5)
wish.add_argument("--programs", default="target/release")
wish.add_argument("templates", nargs="*", default=list(GOALS))
wish = wish.parse_args()

def ports(fleet):
    agents = (fleet.json("status", "--all") or {}).get("agents", [])
    return [instance["port"] for agent in agents for instance in agent["instances"] if instance.get("port")]

class Canary(threading.Thread):
    """Asks one agent after the other at a steady pace; a request that is late does not make the next one late."""
    def __init__(self, ports):
        super().__init__(daemon=True)
        self.ports, self.took, self.over = ports, [], threading.Event()

    def run(self):
        due, number = time.monotonic(), 0
        while not self.over.wait(max(0.0, due - time.monotonic())):
            link = http.client.HTTPConnection("127.0.0.1", self.ports[number % len(self.ports)], timeout=5)
            link.request("GET", "/health")
            if link.getresponse().status == 200:
                self.took.append((time.monotonic() - due) * 1e3)
            link.close()
            due, number = due + PACE, number + 1

    def p95(self):
        self.over.set()
        self.join()
        return sorted(self.took)[max(0, -(-len(self.took) * 95 // 100) - 1)] if self.took else None

def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

missed = 0
print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, medians of {wish.rounds} with their range\n")
for template in wish.templates:
    with Fleet(wish.programs, template) as fleet:
        if not fleet.well:
            sys.exit(f"{template} did not come up")
        fleet.validate()
        asked, took, alone, beside = ports(fleet), [], [], []
        for _ in range(wish.rounds):
            canary = Canary(asked) if asked else None
            canary and canary.start()
            began = time.monotonic()
            report = fleet.validate()
            took.append(time.monotonic() - began)
            if report is None:
                sys.exit(f"{template}: no report")
            if canary:
                beside.append(canary.p95())
                canary = Canary(asked)
                canary.start()
                time.sleep(took[-1])
                alone.append(canary.p95())
    goal = GOALS.get(template)
    late = goal is not None and statistics.median(took) >= goal
    print(f"{template}: {spread(took)} s, {report['verdict']}" + (f", goal < {goal:.0f} s" if goal else "")
          + (" MISSED" if late else ""))
    missed += late
    if beside:
        ratio = statistics.median(beside) / statistics.median(alone)
        print(f"  canary p95 of {len(asked)} agents: {spread(alone)} ms alone, {spread(beside)} ms beside a validation, "
              f"ratio {ratio:.2f}, goal <= 1.20" + (" MISSED" if ratio > 1.2 else ""))
        missed += ratio > 1.2
sys.exit(1 if missed else 0)
PYTHON
