"""Requests a second of `understudy replay`, with journaling on, and of its peers: the same prompts
to the same mock server, 200 connections, the client on one core and the server on another.

Usage: compare.py PROGRAM CACHE [ours|aiohttp|inspect|promptfoo]…

A rate is what the server saw, from its first request to its last one, so that starting up counts
against nobody; the time of the whole process, ours with everything on disk, is printed beside it.
What cannot be installed or run is said and left out.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from prompts import prompt

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 200
COUNTS = {"ours": 200_000, "aiohttp": 50_000, "inspect": 1_000, "promptfoo": 1_000}
BARS = {"aiohttp": 4, "inspect": 200, "promptfoo": 100}

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
CACHE = pathlib.Path(sys.argv[2])
CORES = sorted(os.sched_getaffinity(0))


class Skipped(Exception):
    """Why a peer could not be measured."""


@dataclasses.dataclass
class Run:
    seconds: float  # of the client's process
    span_s: float  # from the first request to the last, as the server saw it
    client_cpu_s: float
    server_cpu_s: float
    memory_mb: float

    def line(self, name, count, per_s):
        return (
            f"{name:<10} {count:>8,} requests {per_s:>9,.0f}/s   process {self.seconds:6.1f} s, "
            f"client CPU {self.client_cpu_s:6.1f} s, server CPU {self.server_cpu_s:5.1f} s, "
            f"peak {self.memory_mb:,.0f} MB"
        )


def on_core(core):
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def mock_server():
    process = subprocess.Popen(
        [PROGRAM, "mock-server", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=on_core(CORES[-1]),
    )
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_client(command, count, environment=None, folder=None, may_end_badly=False):
    """Runs command(URL) on the first core against a new server; all requests must be answered."""
    with mock_server() as (server, url), tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        client = subprocess.Popen(
            command(url),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(environment(url) if environment else {})},
            preexec_fn=on_core(CORES[0]),
        )
        _, status, usage = os.wait4(client.pid, 0)
        seconds = time.monotonic() - begun
        client.returncode = os.waitstatus_to_exitcode(status)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=10) as answer:
            stats = json.load(answer)
        ended_well = client.returncode == 0 or may_end_badly
        if not ended_well or stats["by_status"].get("200") != count:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-500:]
            raise Skipped(f"exit code {client.returncode}, the server saw {stats}: {tail}")
        return Run(
            seconds=seconds,
            span_s=stats["span_ms"] / 1000,
            client_cpu_s=usage.ru_utime + usage.ru_stime,
            server_cpu_s=cpu_seconds(server.pid),
            memory_mb=usage.ru_maxrss / 1024,
        )


def installed(name, pins, install):
    """The folder in the cache that holds what these pins say."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    folder = CACHE / f"bench-{name}-{digest}"
    if not folder.exists():
        print(f"installing {name} into {folder}, for this benchmark alone", file=sys.stderr)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            install(partial)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Skipped(f"could not be installed: {error}") from error
        partial.rename(folder)
    return folder


def python_peers():
    pins = HERE / "requirements.txt"

    def install(folder):
        # Packages beside the interpreter's own, not a virtual environment: it could not be moved.
        quiet = ["-q", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *quiet, "--target", folder, "-r", pins],
            check=True,
            stdout=sys.stderr,
        )

    return installed("python-peers", [pins], install)


def with_packages(folder):
    return {"PYTHONPATH": f"{folder}:{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}


def measure_ours(count):
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        study = pathlib.Path(folder) / "study"
        study.mkdir()
        logs = pathlib.Path(folder) / "logs.jsonl"
        with open(logs, "w", encoding="utf-8") as file:
            for number in range(count):
                messages = [
                    {"role": "user", "content": prompt(number)},
                    {"role": "assistant", "content": "Sort by the second key, then by the first."},
                ]
                file.write(json.dumps({"id": f"c{number}", "messages": messages}) + "\n")
        (study / "study.toml").write_text(
            f'[logs]\npaths = ["{logs}"]\n[sample]\nprefixes = {count}\n'
            f'[replay]\nmax_connections = {CONNECTIONS}\n[candidate]\nmodel = "vllm/mock"\n'
        )
        for stage in ("ingest", "sample"):
            subprocess.run([PROGRAM, stage, study, "--display", "none"], check=True)
        os.sync()
        return run_client(
            lambda url: [PROGRAM, "replay", study, "--display", "none"],
            count,
            environment=lambda url: {"VLLM_BASE_URL": url},
        )


def measure_aiohttp(count):
    packages = python_peers()
    return run_client(
        lambda url: [
            sys.executable,
            HERE / "aiohttp_client.py",
            url,
            str(count),
            str(CONNECTIONS),
        ],
        count,
        environment=lambda url: with_packages(packages),
    )


def measure_inspect(count):
    packages = python_peers()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "inspect_task.py", folder)  # it looks for tasks below its folder only
        run = run_client(
            lambda url: [
                *(sys.executable, "-m", "inspect_ai", "eval", "inspect_task.py"),
                *("--model", "openai-api/mock/mock", "-T", f"count={count}"),
                *("--max-connections", str(CONNECTIONS), "--max-samples", str(CONNECTIONS)),
                *("--display", "none", "--log-dir", folder),
            ],
            count,
            environment=lambda url: {
                **with_packages(packages),
                "MOCK_BASE_URL": url,
                "MOCK_API_KEY": "none",
            },
            folder=folder,
        )
        # `inspect eval` exits with 0 even when it failed.
        status = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys\n"
                "from inspect_ai.log import list_eval_logs, read_eval_log\n"
                "print(read_eval_log(list_eval_logs(sys.argv[1])[0], header_only=True).status)",
                folder,
            ],
            env={**os.environ, **with_packages(packages)},
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        if status != "success":
            raise Skipped(f"its log says {status or 'nothing'}")
        return run


def measure_promptfoo(count):
    node = shutil.which("node")
    npm = shutil.which("npm")
    if not node or not npm:
        raise Skipped("needs nodejs (20 or later) and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip("v\n").split(".")[0]) < 20:
        raise Skipped(f"needs nodejs 20 or later, here it is {version.strip()}")

    def install(folder):
        shutil.copy(HERE / "package.json", folder)
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--omit=optional"],
            check=True,
            cwd=folder,
            stdout=sys.stderr,
        )

    packages = installed("promptfoo", [HERE / "package.json"], install)
    with tempfile.TemporaryDirectory() as folder:

        def command(url):
            config = pathlib.Path(folder) / "promptfooconfig.json"
            provider = {
                "id": "openai:chat:mock",
                "config": {"apiBaseUrl": url, "apiKey": "none"},
            }
            config.write_text(
                json.dumps(
                    {
                        "prompts": ["{{text}}"],
                        "providers": [provider],
                        "tests": [{"vars": {"text": prompt(number)}} for number in range(count)],
                    }
                )
            )
            return [
                *(packages / "node_modules/.bin/promptfoo", "eval", "-c", config),
                *("--max-concurrency", str(CONNECTIONS), "--no-cache", "--no-progress-bar"),
                *("--no-table", "-o", "results.json"),
            ]

        return run_client(
            command,
            count,
            environment=lambda url: {
                "PROMPTFOO_CONFIG_DIR": folder,
                "PROMPTFOO_DISABLE_TELEMETRY": "1",
                "PROMPTFOO_DISABLE_UPDATE": "1",
                "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
            },
            folder=folder,
            may_end_badly=True,  # its logger can fail once everything has been answered
        )


def main():
    measures = {
        "ours": measure_ours,
        "aiohttp": measure_aiohttp,
        "inspect": measure_inspect,
        "promptfoo": measure_promptfoo,
    }
    names = sys.argv[3:] or list(measures)
    CACHE.mkdir(parents=True, exist_ok=True)
    if len(CORES) < 2:
        print("one core only: client and server share it")
    rates = {}
    for name in names:
        count = COUNTS[name]
        try:
            run = measures[name](count)
        except Skipped as reason:
            print(f"{name:<10} left out: {reason}", flush=True)
            continue
        rates[name] = count / run.span_s
        print(run.line(name, count, rates[name]), flush=True)
    for name, bar in BARS.items():
        if name in rates and "ours" in rates:
            print(f"ours is {rates['ours'] / rates[name]:,.1f} × {name} (wanted: {bar} ×)")


main()
