"""A private daemon over a template, for the scripts beside this one: in a directory of its own, and gone when left."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

LONGEST_START = 300
LONGEST_RUN = 180
LONGEST_STOP = 90


def outcomes(report):
    return {finding["id"]: finding["outcome"] for finding in report["findings"]}


class Fleet:
    """`programs` is where agentctl and agentd are. `well` says whether every agent became ready."""

    def __init__(self, programs, template="bookedbarber"):
        self.home = tempfile.mkdtemp(prefix="agentctl-bench-")
        # Agents may run under a uid of their own and must reach the program.
        os.chmod(self.home, 0o711)
        self.bin = os.path.join(self.home, "bin")
        os.mkdir(self.bin)
        os.chmod(self.bin, 0o755)
        for name in ("agentctl", "agentd"):
            shutil.copy2(os.path.join(programs, name), os.path.join(self.bin, name))
        self.template, self.daemon, self.well = template, None, False

    def socket(self):
        return os.path.join(self.home, "run", "agentd.sock")

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENT")}
        return dict(kept, PATH=self.bin + os.pathsep + os.environ.get("PATH", ""))

    def ctl(self, *args, limit=30):
        """Exit status and standard output; None if it did not end in time."""
        command = [os.path.join(self.bin, "agentctl"), "--socket", self.socket(), *args]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit,
                                  env=self.environment())
        except subprocess.TimeoutExpired:
            return None, ""
        return done.returncode, done.stdout

    def json(self, *args, limit=30):
        try:
            return json.loads(self.ctl(*args, "-o", "json", limit=limit)[1])
        except ValueError:
            return None

    def validate(self, *args):
        """The report, or None if there was none."""
        return self.json("validate", *args, limit=LONGEST_RUN)

    def __enter__(self):
        self.ctl("init", "--template", self.template, self.home)
        with open(os.path.join(self.home, "agentd.err"), "w", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(
                [os.path.join(self.bin, "agentd"), "--config", os.path.join(self.home, "agentd.toml"),
                 "--state-dir", os.path.join(self.home, "state"), "--socket", self.socket()],
                cwd=self.home, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + LONGEST_START
        while time.monotonic() < until and self.daemon.poll() is None and not self.well:
            self.well = (self.json("status") or {}).get("verdict") == "healthy"
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        try:
            self.daemon.terminate()
            self.daemon.wait(LONGEST_STOP)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.home, ignore_errors=True)

    def left(self):
        """Processes of this fleet, by the directory in their environment or of their program."""
        mark, own = self.home.encode(), os.getpid()
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ:
                    ours = mark in environ.read()
                ours = ours or os.readlink(f"/proc/{pid}/exe").startswith(self.home)
            except OSError:
                continue
            if ours and pid != own:
                yield pid
