"""kill -9 at 20 random moments of a run of 2,000 draws: the same report, byte for byte, and at most
what was in flight at each kill asked again."""

import pathlib
import random
import sys

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
        kills = program.run_through_kills(
            killed, server, KILLS, lambda: numbers.uniform(0.02, 0.35), least=5
        )
        program.check_asked_again(server, DRAWS, kills, CONNECTIONS)

    for name in ("report.json", "report.html"):
        program.check(
            (whole / name).read_bytes() == (killed / name).read_bytes(),
            f"{name} differs after {kills} kills",
        )
