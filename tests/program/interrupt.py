"""Ctrl-C stops cleanly, says how to go on, and loses nothing."""

import pathlib
import signal
import subprocess
import time

import program

with program.temporary_directory() as folder, program.mock_server("--latency-ms", "30") as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=1000)
    study = program.write_study(
        folder / "study",
        logs,
        sample={"prefixes": 1000},
        replay={"max_connections": 10},
        candidate={"model": "vllm/mock"},
    )
    run = subprocess.Popen(
        [program.PROGRAM, "run", str(study), "--display", "plain"],
        env=program.environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while server.stats()["requests"] < 100:
        program.check(run.poll() is None, "the run ended before it was interrupted")
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    program.check(run.returncode == 5, f"exit {run.returncode}: {err}")
    program.check("understudy run" in err and "goes on" in err, err)
    program.understudy("run", study, "--display", "none", server=server)
    stats = server.stats()
    program.check(stats["requests"] == 1000, f"asked twice, or lost: {stats}")
