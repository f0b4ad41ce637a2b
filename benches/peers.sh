#!/usr/bin/env bash
# Our figures beside our peers', measured in the same minute on the same machine; quote the ratio, since timings drift.
#
#   cargo build --release --locked && benches/peers.sh [SECTION ...]
#   sections: status start spawn restart resident probe commit   (default: all)
#
# Needs bash, python3 and target/release. Peers are taken from PATH and $PEERS_BIN (pueue, pueued, runsvdir, sv,
# supervisord, supervisorctl); one that is missing is said to be missing. Knobs: RUNS (default 25), AGENTS (224).
# Everything happens in a directory of its own and on loopback, and is ended by pid.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo 'missing: python3' >&2; exit 3; }
for program in target/release/agentctl target/release/agentd; do
	[ -x "$program" ] || { echo "missing: $program (cargo build --release --locked)" >&2; exit 3; }
done
export PATH="${PEERS_BIN:-$HOME/.cache/peers/cargo/bin}:$PATH:/usr/sbin:/sbin"
# From a file, not from stdin, which the measured programs would share.
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<'PYTHON'
import json, os, random, select, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

BIN, SECTIONS = sys.argv[1], sys.argv[2:] or ["status", "start", "spawn", "restart", "resident", "probe", "commit"]
RUNS, AGENTS = int(os.environ.get("RUNS", 25)), int(os.environ.get("AGENTS", 224))
PEERS = 250                       # things a peer is given, as in its published figures
HOME = tempfile.mkdtemp(prefix="agentctl-peers-")
os.chmod(HOME, 0o711)
ENV = {"PATH": os.environ["PATH"], "HOME": HOME, "LANG": "C.UTF-8"}
AGENTCTL, AGENTD = f"{HOME}/bin/agentctl", f"{HOME}/bin/agentd"
ROWS, LIVE = [], []
QUIET = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def note(text):
    print(text, file=sys.stderr, flush=True)


def row(figure, who, values, unit, goal=""):
    """One figure of one program: the median of what was measured, with its range."""
    values = [v for v in values if v is not None]
    if not values:
        ROWS.append((figure, who, None, "", unit, goal))
        note(f"{figure}: {who}: nothing measured")
        return None
    middle = statistics.median(values)
    spread = f"{min(values):.2f}-{max(values):.2f}, n={len(values)}" if len(values) > 1 else ""
    ROWS.append((figure, who, middle, spread, unit, goal))
    note(f"{figure}: {who}: {middle:.2f} {unit} {spread}")
    return middle


def missing(figure, who):
    ROWS.append((figure, who, None, "missing", "", ""))
    note(f"{figure}: {who} is missing")


def have(*programs):
    return all(shutil.which(p, path=ENV["PATH"]) for p in programs)


def start(argv, **more):
    child = subprocess.Popen(argv, env=ENV, start_new_session=True, **{**QUIET, **more})
    LIVE.append(child)
    return child


def end(child, patience=60):
    """TERM, wait, KILL; by the pid we started."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child in LIVE:
        LIVE.remove(child)


def strays():
    """Processes that stand in our directory or run a program or script of it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            told = open(f"/proc/{pid}/environ", "rb").read() + open(f"/proc/{pid}/cmdline", "rb").read()
        except OSError:
            continue
        if HOME.encode() in told:
            found.append(int(pid))
    return found


def wall(argv, runs=RUNS, warm=2):
    """Milliseconds from spawn to reaped, of the whole process."""
    took = []
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
    program = shutil.which(argv[0], path=ENV["PATH"])
    for run in range(runs + warm):
        began = time.monotonic_ns()
        pid = os.posix_spawn(program, argv, ENV, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        if run >= warm:
            took.append((time.monotonic_ns() - began) / 1e6)
        if os.waitstatus_to_exitcode(status) not in (0, 1, 3, 8):
            note(f"{argv[0]} ended with {os.waitstatus_to_exitcode(status)}")
    os.close(null)
    return took


def cpu_ms(pid):
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        total += int(open(f"/proc/{pid}/task/{thread}/schedstat").read().split()[0])
    return total / 1e6


def rss_mib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


class Beacons:
    """A FIFO into which each started child writes its name and pid; we stamp each line as it comes in."""

    def __init__(self, home):
        self.path = f"{home}/fifo"
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)
        self.read = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.keep = os.open(self.path, os.O_WRONLY)
        self.held = b""
        self.child = f"{home}/child.sh"
        with open(self.child, "w") as script:
            script.write('#!/bin/sh\necho "$2 $$" >"$1"\nexec sleep 1000000\n')
        os.chmod(self.child, 0o755)

    def close(self):
        os.close(self.read)
        os.close(self.keep)

    def wait(self, wanted, limit):
        """Until `wanted(seen)` holds: {name: (nanoseconds, pid)}."""
        seen, until = {}, time.monotonic() + limit
        while not wanted(seen) and time.monotonic() < until:
            if select.select([self.read], [], [], 0.2)[0]:
                now = time.monotonic_ns()
                *lines, self.held = (self.held + os.read(self.read, 65536)).split(b"\n")
                for line in lines:
                    name, pid = line.decode().split()
                    seen[name] = (now, int(pid))
        return seen

    def spawned(self, count, argv):
        """Starts `argv`; (it, milliseconds until `count` children had started, their pids)."""
        began = time.monotonic_ns()
        child = start(argv)
        seen = self.wait(lambda s: len(s) >= count, 90)
        last = max((at for at, _ in seen.values()), default=0)
        return child, (last - began) / 1e6 if len(seen) >= count else None, {n: p for n, (_, p) in seen.items()}

    def restarts(self, name, pid, runs, gap):
        """kill -9 → the next child's line, in milliseconds."""
        took = []
        for _ in range(runs):
            time.sleep(gap + random.random() * gap)
            self.wait(lambda s: True, 0)
            began = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            seen = self.wait(lambda s: name in s, 30)
            if name not in seen:
                break
            at, pid = seen[name]
            took.append((at - began) / 1e6)
        return took


def private(name):
    home = f"{HOME}/{name}-{random.randrange(10**9)}"
    os.mkdir(home, 0o711)
    os.chmod(home, 0o711)
    return home


# --- ours

def agents(count, body, more=""):
    text = f'schema = 1\n[daemon]\nstart_concurrency = 0\n{more}\n'
    for i in range(count):
        text += f'[[agent]]\nname = "a{i:03}"\ntier = "t{i % 4}"\nuser = "inherit"\n{body(i)}\n'
    return text


def beacon_agent(beacons, backoff="1ms"):
    return lambda i: (
        f'kind = "process"\nrestart = {{ policy = "always", backoff = "{backoff}..{backoff}", latch = "1000 in 1m" }}\n'
        f'options = {{ command = ["{beacons.child}", "{beacons.path}", "a{i:03}"], ping = false }}')


def agentd_argv(home, manifest):
    with open(f"{home}/agentd.toml", "w") as file:
        file.write(manifest)
    return [AGENTD, "--config", f"{home}/agentd.toml", "--state-dir", f"{home}/state", "--socket", f"{home}/run/s"]


def ctl(home, *words):
    return [AGENTCTL, "--socket", f"{home}/run/s", *words]


def status(home):
    out = subprocess.run(ctl(home, "status", "-o", "json"), env=ENV, capture_output=True)
    return json.loads(out.stdout) if out.stdout else None


def ready(home, count, limit=120):
    until = time.monotonic() + limit
    while time.monotonic() < until:
        seen = status(home)
        if seen and seen["instances"].get("ready", 0) >= count:
            return True
        time.sleep(0.1)
    note(f"only {(status(home) or {}).get('instances')} of {count} are ready")
    return False


def first_status(argv, ask, sockets):
    """Milliseconds from starting the daemon until a status call succeeded. It is made once a socket in the directory
    takes a connection: calls made in vain would take the daemon's processor from it."""
    began = time.monotonic_ns()
    child = start(argv)
    until = time.monotonic() + 30
    while not listening(sockets) and child.poll() is None:
        if time.monotonic() > until:
            return child, None
        time.sleep(0.0002)
    while subprocess.call(ask, env=ENV, **QUIET) not in (0, 1, 3, 8):
        if time.monotonic() > until or child.poll() is not None:
            return child, None
        time.sleep(0.0005)
    return child, (time.monotonic_ns() - began) / 1e6


def listening(directory):
    """Does a socket in it take a connection?"""
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(f"{directory}/{name}")
                return True
            except OSError:
                pass
    return False


# --- peers

def pueue_home():
    home = private("pueue")
    os.mkdir(f"{home}/run")
    with open(f"{home}/c.yml", "w") as file:
        file.write(f"shared:\n  pueue_directory: {home}\n  runtime_directory: {home}/run\n"
                   "  use_unix_socket: true\ndaemon: {}\nclient: {}\n")
    return home, ["pueued", "-c", f"{home}/c.yml"], ["pueue", "-c", f"{home}/c.yml"]


def runit_tree(home, beacons, count):
    os.mkdir(f"{home}/sv")
    for i in range(count):
        os.mkdir(f"{home}/sv/p{i:03}")
        run = f"{home}/sv/p{i:03}/run"
        with open(run, "w") as file:
            file.write(f"#!/bin/sh\nexec {beacons.child} {beacons.path} p{i:03}\n")
        os.chmod(run, 0o755)
    time.sleep(2)                 # runsvdir puts off a directory that changed within the last second
    return ["runsvdir", "-P", f"{home}/sv"]


def supervisor_conf(home, beacons, count):
    text = (f"[supervisord]\nlogfile={home}/log\npidfile={home}/pid\nchildlogdir={home}\nnodaemon=true\n"
            f"minfds=1024\n[unix_http_server]\nfile={home}/sock\n[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{home}/sock\n")
    for i in range(count):
        text += (f"[program:p{i:03}]\ncommand={beacons.child} {beacons.path} p{i:03}\nstartsecs=0\n"
                 "stdout_logfile=NONE\nstderr_logfile=NONE\n")
    with open(f"{home}/c.conf", "w") as file:
        file.write(text)
    return ["supervisord", "-c", f"{home}/c.conf"]


def end_tree(child, pids):
    """A supervisor whose own end leaves its children: those too, and what watches them."""
    watchers = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]) == child.pid:
                watchers.append(int(pid))
        except (OSError, IndexError):
            pass
    if "runsvdir" in child.args[0]:
        child.send_signal(signal.SIGHUP)
    end(child)
    for pid in watchers + list(pids.values()):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


# --- sections

def do_status():
    figure = f"status, whole process ({AGENTS} agents / {PEERS} tasks)"
    home = private("status")
    beacons = Beacons(home)
    daemon, _, _ = beacons.spawned(AGENTS, agentd_argv(home, agents(AGENTS, beacon_agent(beacons))))
    ready(home, AGENTS)
    if have("pueue", "pueued"):
        place, pueued, pueue = pueue_home()
        peer, _ = first_status(pueued, pueue + ["status"], f"{place}/run")
        subprocess.run(pueue + ["pause"], env=ENV, **QUIET)
        for _ in range(PEERS):
            subprocess.run(pueue + ["add", "--", "true"], env=ENV, **QUIET)
        ours, theirs = [], []
        for _ in range(5):        # in turns, so that both meet the same minute
            ours += wall(ctl(home, "status"), RUNS // 5 + 1)
            theirs += wall(pueue + ["status"], RUNS // 5 + 1)
        row(figure, "agentctl", ours, "ms", "<= 2.0 and < pueue")
        row(figure, "pueue", theirs, "ms")
        end(peer)
    else:
        row(figure, "agentctl", wall(ctl(home, "status")), "ms", "<= 2.0 and < pueue")
        missing(figure, "pueue")
    row("a process that does nothing (/bin/true)", "floor", wall(["true"]), "ms")
    end(daemon)
    beacons.close()


def do_start():
    figure = f"daemon start to first status ({AGENTS} agents registered)"
    took = []
    for _ in range(9):
        home = private("start")
        beacons = Beacons(home)
        manifest = agents(AGENTS, beacon_agent(beacons)).replace("schema = 1", 'schema = 1\nagent_system = "off"')
        argv = agentd_argv(home, manifest)
        child, _ = first_status(argv, ctl(home, "status"), f"{home}/run")       # the database is made once
        end(child)
        child, ms = first_status(argv, ctl(home, "status"), f"{home}/run")
        took.append(ms)
        end(child)
        beacons.close()
    row(figure, "agentd", took, "ms", "<= 10")
    if have("pueue", "pueued"):
        place, pueued, pueue = pueue_home()
        took = []
        for _ in range(9):
            child, ms = first_status(pueued, pueue + ["status"], f"{place}/run")
            took.append(ms)
            end(child)
        row(figure, "pueued", took[1:], "ms")
    else:
        missing(figure, "pueued")


def do_spawn():
    figure = f"children spawned ({AGENTS} ours, as many theirs)"
    took = []
    for _ in range(3):
        home = private("spawn")
        beacons = Beacons(home)
        child, ms, _ = beacons.spawned(AGENTS, agentd_argv(home, agents(AGENTS, beacon_agent(beacons))))
        took.append(ms)
        end(child)
        beacons.close()
    row(figure, "agentd", took, "ms", "<= 250")
    for who, programs, prepare in (("runit", ("runsvdir",), runit_tree),
                                   ("supervisor", ("supervisord",), supervisor_conf)):
        if not have(*programs):
            missing(figure, who)
            continue
        took = []
        for _ in range(3):
            home = private(who)
            beacons = Beacons(home)
            child, ms, pids = beacons.spawned(AGENTS, prepare(home, beacons, AGENTS))
            took.append(ms)
            end_tree(child, pids)
            beacons.close()
        row(figure, who, took, "ms")


def do_restart():
    figure = "kill -9 to the new process"
    home = private("restart")
    beacons = Beacons(home)
    # What an ended run left is looked for while the backoff passes, so it must be long enough to hold that look. Jitter
    # takes up to a tenth off a backoff: 30 ms are 27 to 30, and 28.5 in the middle.
    child, _, pids = beacons.spawned(20, agentd_argv(home, agents(20, beacon_agent(beacons, "30ms"))))
    ready(home, 20)
    took = beacons.restarts("a007", pids["a007"], 31, 0.5)
    row(figure, "agentd, its backoff of 28.5 (27 to 30) ms taken off", [ms - 28.5 for ms in took], "ms", "<= 3")
    end(child)
    beacons.close()
    for who, programs, prepare in (("runit", ("runsvdir",), runit_tree),
                                   ("supervisor", ("supervisord",), supervisor_conf)):
        if not have(*programs):
            missing(figure, who)
            continue
        home = private(who)
        beacons = Beacons(home)
        child, _, pids = beacons.spawned(20, prepare(home, beacons, 20))
        time.sleep(2)
        row(figure, who, beacons.restarts("p007", pids["p007"], 15, 1.5), "ms")
        end_tree(child, pids)
        beacons.close()


def do_resident():
    def agent(i):
        return (f'kind = "service"\noptions = {{ command = ["{{agentctl}}", "demo-agent", "http", "--port", "{{port}}"],'
                f' port = 0 }}\n[[agent.probe]]\nname = "port"\nkind = "tcp"\n'
                f'[[agent.probe]]\nname = "alive"\nrole = "liveness"\nkind = "process"')
    home = private("resident")
    child = start(agentd_argv(home, agents(AGENTS, agent)))
    ready(home, AGENTS)
    time.sleep(5)
    began = cpu_ms(child.pid)
    seconds = 60                  # two rounds of probes, which look every 30 s
    time.sleep(seconds)
    share = (cpu_ms(child.pid) - began) / seconds / 10
    what = f"{AGENTS} agents, tcp and process probes"
    row(f"resident memory ({what})", "agentd", [rss_mib(child.pid)], "MiB", "<= 20")
    row(f"idle CPU of a core ({what})", "agentd", [share], "%", "< 0.5")
    end(child)
    if have("pueue", "pueued"):
        place, pueued, pueue = pueue_home()
        peer, _ = first_status(pueued, pueue + ["status"], f"{place}/run")
        began = cpu_ms(peer.pid)
        time.sleep(10)
        row(f"resident memory ({what})", "pueued, nothing queued", [rss_mib(peer.pid)], "MiB")
        row(f"idle CPU of a core ({what})", "pueued, nothing queued", [(cpu_ms(peer.pid) - began) / 100], "%")
        end(peer)
    else:
        missing("resident memory", "pueued")


class Target(threading.Thread):
    """Answers 200 to everything and counts; in a process of its own, so that it costs the measured one nothing."""

    SOURCE = """
import asyncio, sys
served = 0
class Answer(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        global served
        if data.startswith(b"GET /count"): body = str(served).encode()
        else: served += 1; body = b'{"status":"healthy"}'
        self.transport.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

    def __init__(self):
        self.child = start([sys.executable, "-c", self.SOURCE], stdout=subprocess.PIPE)
        self.port = int(self.child.stdout.readline())

    def count(self):
        with socket.create_connection(("127.0.0.1", self.port), 5) as link:
            link.sendall(b"GET /count HTTP/1.1\r\nhost: x\r\n\r\n")
            return int(link.recv(4096).rsplit(b"\r\n\r\n", 1)[1])


def do_probe():
    target = Target()
    manifest = "schema = 1\n"
    for i in range(100):
        manifest += (f'[[dependency]]\nname = "d{i:03}"\nkind = "http"\nevery = "200ms"\ndeadline = "150ms"\n'
                     f'options = {{ url = "http://127.0.0.1:{target.port}/health", expect = {{ status = 200, '
                     'json = { "$.status" = "healthy" } } }\n')
    home = private("probe")
    child = start(agentd_argv(home, manifest))
    time.sleep(5)
    rounds = []
    for _ in range(5):
        cpu, count = cpu_ms(child.pid), target.count()
        time.sleep(4)
        spent, asked = cpu_ms(child.pid) - cpu, target.count() - count
        rounds.append(spent * 1000 / asked if asked else None)
    row("CPU per http probe (status and JSON asserted)", "agentd", rounds, "us", "<= 70")
    end(child)
    end(target.child)


def do_commit():
    if not have("cargo"):
        missing("group commit, 64 callers", "cargo")
        return
    out = subprocess.run(["cargo", "bench", "--locked", "--bench", "commit"], capture_output=True, text=True)
    for line in (out.stdout + out.stderr).splitlines():
        if "thrpt" in line or "time:" in line or "ratio" in line or "×" in line:
            note(line)
            if "ratio" in line or "×" in line:
                ROWS.append(("group commit, 64 callers: " + line.strip(), "agentd", None, "", "", ">= 10"))
    if out.returncode:
        note(out.stderr[-2000:])


def table():
    print(f"{os.cpu_count()} cores, kernel {os.uname().release}, "
          f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}\n")
    print("| figure | who | median | range | goal |\n|---|---|---|---|---|")
    for figure, who, middle, spread, unit, goal in ROWS:
        shown = f"{middle:.2f} {unit}" if middle is not None else "-"
        print(f"| {figure} | {who} | {shown} | {spread} | {goal} |")


def clean():
    for child in list(LIVE):
        end(child, 10)
    for attempt in (signal.SIGTERM, signal.SIGKILL):
        for pid in strays():
            try:
                os.kill(pid, attempt)
            except ProcessLookupError:
                pass
        until = time.monotonic() + 3
        while strays() and time.monotonic() < until:
            time.sleep(0.05)
    shutil.rmtree(HOME, ignore_errors=True)


def main():
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, lambda *_: sys.exit(130))
    os.mkdir(f"{HOME}/bin", 0o755)
    for program in ("agentctl", "agentd"):
        shutil.copy2(f"{BIN}/{program}", f"{HOME}/bin/{program}")
    try:
        for section in SECTIONS:
            if f"do_{section}" not in globals():
                sys.exit(f"no section {section}")
            note(f"== {section}")
            globals()[f"do_{section}"]()
        table()
    finally:
        clean()


main()
PYTHON
python3 "$script" "$PWD/target/release" "$@"
