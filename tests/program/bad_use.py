"""What a person gets wrong: each a clear message, the documented exit code, and no log text."""

import json
import pathlib

import program

SECRET = "zebrafish-lantern-quartz"

with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    good = folder / "good.jsonl"
    good.write_text(
        "".join(
            json.dumps(
                {
                    "id": str(i),
                    "messages": [
                        {"role": "user", "content": f"{SECRET} {i}?"},
                        {"role": "assistant", "content": f"{SECRET} it is."},
                    ],
                }
            )
            + "\n"
            for i in range(40)
        )
    )

    def says(code, words, *arguments, server=None):
        done = program.understudy(*arguments, expect=code, server=server)
        text = done.stdout + done.stderr
        program.check(SECRET not in text, f"{arguments}: conversation text in {text!r}")
        for word in words:
            program.check(word in text, f"{arguments}: no {word!r} in {text!r}")
        return text

    def study(name, toml):
        (folder / name).mkdir()
        (folder / name / "study.toml").write_text(toml)
        return folder / name

    def simple(name, logs=good, model="vllm/mock", more=""):
        return study(
            name, f'[logs]\npaths = ["{logs}"]\n[candidate]\nmodel = "{model}"\n{more}'
        )

    says(2, ["did you mean", "ingest"], "ingst")
    says(2, ["DIR"], "run")
    says(2, ["study.toml", "init"], "run", folder / "nowhere")
    says(0, ["verbs", "exit codes"], "--help")
    says(0, ["--logs", "understudy init"], "init", "--help")
    says(0, ["study.toml"], "init", folder / "made", "--logs", good, "--model", "vllm/x")
    says(2, ["there already"], "init", folder / "made", "--logs", good, "--model", "vllm/x")
    says(2, ["study.toml:2", "prefixes"], "run", study("key", "[sample]\nprefxes = 3\n"))
    says(2, ["did you mean", "openai"], "run", simple("model", model="opnai/gpt"))
    says(2, ["egress"], "run", simple("egress", more='base_url = "https://api.example.com/v1"\n'))
    behaviors = '[grade]\nbehaviors = ["refusel"]\n'
    with program.mock_server() as server:
        says(2, ["did you mean", "refusal"], "run", simple("behavior", more=behaviors), server=server)
        ran = simple("ran")
        says(0, [], "run", ran, server=server)
        says(0, ["up to date"], "run", ran, server=server)
        says(2, ["new study"], "run", ran, "--temperature", "0.5", "--prefixes", "41", server=server)
        gated = simple("gated", more='[gate]\n"refusal.candidate_hi_per_100k" = 1\n')
        says(1, ["refusal"], "run", gated, server=server)
    says(2, ["directory"], "run", simple("directory", logs=folder))
    partly = f'[logs]\npaths = ["{good}", "{folder}", "{folder}/no.jsonl"]\n'
    with program.mock_server() as server:
        toml = partly + '[candidate]\nmodel = "vllm/mock"\n'
        says(0, ["left out", "directory"], "run", study("partly", toml), server=server)
    lines = (folder / "partly" / "rejects.jsonl").read_text().splitlines()
    reasons = [json.loads(line)["reason"] for line in lines]
    program.check(reasons == ["unreadable", "unreadable"], str(lines))
    empty = folder / "empty.jsonl"
    empty.write_text("")
    says(3, ["rejects.jsonl"], "run", simple("empty", logs=empty))
    broken = folder / "broken.jsonl"
    broken.write_text(good.read_text() + '{"messages": [{"role": "user", "content": "' + SECRET)
    with program.mock_server() as server:
        done = says(0, [], "run", simple("broken", logs=broken), server=server)
    rejects = (folder / "broken" / "rejects.jsonl").read_text()
    program.check(SECRET not in rejects, "conversation text in rejects.jsonl")
    reject = json.loads(rejects)
    program.check(
        reject["line"] == 41 and reject["byte_offset"] == len(good.read_bytes()), rejects
    )
    # No server there: every draw fails with a reason, and the exit code says so.
    dead = simple("dead", more='base_url = "http://127.0.0.1:9/v1"\n[replay]\ndeadline_s = 1\n')
    says(6, [], "run", dead, "--display", "none")
    report = json.loads((dead / "report.json").read_text())
    program.check_counts(report)
    program.check(
        sum(report["counts"]["draws"]["candidate"]["failed"].values()) == 40,
        str(report["counts"]["draws"]),
    )
