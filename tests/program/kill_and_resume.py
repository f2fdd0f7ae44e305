"""kill -9 at 20 random moments of a run of 2,000 draws: the same report, byte for byte, and at most
what was in flight at each kill asked again."""

import pathlib
import random
import subprocess
import sys
import time

import program

CONNECTIONS = 20
DRAWS = 2000
KILLS = 20

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
numbers = random.Random(seed)
print(f"seed {seed}")


def study_in(folder, logs):
    return program.write_study(
        folder / "study",
        logs,
        sample={"prefixes": DRAWS},
        replay={"max_connections": CONNECTIONS},
        candidate={"model": "vllm/mock", "max_tokens": 192},
    )


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=DRAWS)
    flags = ["--behavior", "refusal=0.05", "--behavior", "repetition_loop=0.01", "--seed", "3"]

    with program.mock_server(*flags) as server:
        whole = study_in(folder / "whole", logs)
        program.understudy("run", whole, "--display", "none", server=server)
        program.check(server.stats()["requests"] == DRAWS, f"uninterrupted: {server.stats()}")

    with program.mock_server(*flags, "--latency-ms", "40") as server:
        killed = study_in(folder / "killed", logs)
        kills = 0
        while kills < KILLS:
            run = subprocess.Popen(
                [program.PROGRAM, "run", str(killed), "--display", "none"],
                env=program.environment(server),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(numbers.uniform(0.02, 0.35))
            if run.poll() is not None:
                break
            run.kill()
            run.wait()
            kills += 1
        program.check(kills >= 5, f"the run ended after {kills} kills: too early to mean anything")
        program.understudy("run", killed, "--display", "none", server=server)
        stats = server.stats()
        again = stats["requests"] - DRAWS
        print(f"{kills} kills, {again} requests asked again, at most {kills * CONNECTIONS} allowed")
        program.check(stats["distinct_requests"] == DRAWS, f"distinct requests: {stats}")
        program.check(0 <= again <= kills * CONNECTIONS, f"asked again: {again}")

    for name in ("report.json", "report.html"):
        program.check(
            (whole / name).read_bytes() == (killed / name).read_bytes(),
            f"{name} differs after {kills} kills",
        )
