"""kill -9 at random moments of a run of trajectories with ten tool calls each: the same report, byte
for byte, and at each kill no more answers asked again than requests were in flight.

`agents_kill.py --figures` takes 2,000 trajectories and says how fast the uninterrupted run was."""

import os
import pathlib
import random
import subprocess
import sys
import time

import program
from agent_logs import agent_study, write_agent_logs

FIGURES = "--figures" in sys.argv
TRAJECTORIES = 2000 if FIGURES else 150
CALLS = 10
KILLS = 20 if FIGURES else 8
CONNECTIONS = 200 if FIGURES else 16
REQUESTS = TRAJECTORIES * (CALLS + 1)

numbers = random.Random(1)


def run_measured(study, server):
    """Seconds and the most memory (MiB) of a run."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [program.PROGRAM, "run", str(study), "--display", "none"],
        env=program.environment(server),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    program.check(process.returncode == 0, f"run: exit {process.returncode}")
    return time.monotonic() - begun, usage.ru_maxrss / 1024


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_agent_logs(logs, TRAJECTORIES, CALLS)
    scenario = folder / "scenario.toml"
    scenario.write_text(
        f"seed = 3\n[models.agent]\ntool_calls = {CALLS}\nrates = {{ refusal = 0.1 }}\n"
    )

    with program.mock_server("--scenario", str(scenario)) as server:
        whole = agent_study(folder / "whole" / "study", logs, "vllm/agent", TRAJECTORIES, CONNECTIONS)
        seconds, memory = run_measured(whole, server)
        stats = server.stats()
        program.check(stats["requests"] == REQUESTS, f"uninterrupted: {stats}")
        rate = 1000 * REQUESTS / max(stats["span_ms"], 1)
        print(
            f"{TRAJECTORIES} trajectories, {REQUESTS} requests: {rate:.0f} a second, "
            f"{seconds:.1f} s in all, {memory:.0f} MiB"
        )

    latency = ["--latency-ms", "20"]
    with program.mock_server("--scenario", str(scenario), *latency) as server:
        killed = agent_study(folder / "killed" / "study", logs, "vllm/agent", TRAJECTORIES, CONNECTIONS)
        kills = program.run_through_kills(
            killed, server, KILLS, lambda: numbers.uniform(0.1, 0.5), least=3
        )
        program.check_asked_again(server, REQUESTS, kills, CONNECTIONS)

    for name in ("report.json", "report.html"):
        program.check(
            (whole / name).read_bytes() == (killed / name).read_bytes(),
            f"{name} differs after {kills} kills",
        )
