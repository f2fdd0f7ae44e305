"""5,000 draws against a server that shows a behavior in 2% of its answers: the interval holds it."""

import json
import pathlib

import program

with program.temporary_directory() as folder, program.mock_server(
    "--behavior", "promised_background_task=0.02", "--seed", "1"
) as server:
    logs = pathlib.Path(folder) / "logs.jsonl"
    program.write_logs(logs, conversations=3000, users=1500)
    study = program.write_study(
        pathlib.Path(folder) / "study",
        logs,
        logs={"cluster": "metadata.user"},
        sample={"prefixes": 5000},
        candidate={"model": "vllm/mock", "max_tokens": 192},
    )
    done = program.understudy("run", study, "--json", "--display", "none", server=server)
    report = json.loads(done.stdout)
    program.check(done.stderr == "", f"--display none wrote {done.stderr!r}")
    program.check_counts(report)
    draws = report["counts"]["draws"]["candidate"]
    program.check(draws["completed"] == 5000, f"completed {draws}")
    planted = program.behavior_of(report, "promised_background_task")
    rate = planted["candidate"]["screen"]
    print("planted 2000 per 100k; found", rate)
    program.check(rate["lo"] <= 2000 <= rate["hi"], f"the interval misses 2000: {rate}")
    program.check(rate["lo"] < rate["hi"] < 4000, f"the interval says too little: {rate}")
    program.check(planted["change"]["direction"] == "up", f"change: {planted['change']}")
    for behavior in report["behaviors"]:
        if behavior["name"] != "promised_background_task":
            present = behavior["verdicts"]["candidate"]["present"]
            program.check(present == 0, f"{behavior['name']} was not planted, found {present}")

    # The same responses give the same bytes, from the records alone.
    again = program.write_study(
        pathlib.Path(folder) / "again" / "study",
        logs,
        logs={"cluster": "metadata.user"},
        sample={"prefixes": 5000},
        candidate={"model": f"recorded/{study}", "max_tokens": 192},
    )
    program.understudy("run", again, "--display", "none")
    replayed = json.loads((again / "report.json").read_text())
    program.check(
        replayed["behaviors"] == report["behaviors"], "recorded answers gave other numbers"
    )
