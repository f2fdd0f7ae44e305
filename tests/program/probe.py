"""`behaviors probe`: a judge that never wavers flips nothing; one that is wrong at random flips
about as often as that, in every probe; what was asked is not asked again; several behaviors in one
call cost a part of the calls and give the same verdicts where the judge is steady. `behaviors test`
puts examples to it."""

import json
import pathlib

import program

BEHAVIORS = ["harassment", "hate", "violence"]


def scenario(specificity):
    return f"""
[models.candidate]
role = "candidate"
rates = {{ harassment = 0.1, hate = 0.1, violence = 0.1 }}
[models.judge]
role = "judge"
specificity = {specificity}
[models.oracle]
role = "oracle"
"""


def study_of(folder, name, logs, **grade):
    return program.write_study(
        folder / name,
        logs,
        sample={"prefixes": 150},
        candidate={"model": "vllm/candidate"},
        roles={"judge": "vllm/judge"},
        grade={"behaviors": BEHAVIORS, **grade},
    )


def run(study, server):
    done = program.understudy("run", study, "--json", "--display", "none", server=server)
    report = json.loads(done.stdout)
    program.check_counts(report)
    return [program.behavior_of(report, name)["verdicts"] for name in BEHAVIORS]


def probe(study, server, *flags):
    command = ["behaviors", "probe", study, "--display", "none", *flags]
    return program.understudy(*command, server=server).stdout


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=100)
    (folder / "steady.toml").write_text(scenario(1.0))
    (folder / "noisy.toml").write_text(scenario(0.8))

    with program.mock_server("--scenario", str(folder / "steady.toml"), "--seed", "5") as server:
        study = study_of(folder, "steady", logs)
        program.understudy("behaviors", "probe", study, server=server, expect=2)
        alone = run(study, server)
        asked = server.stats()["by_model"]["judge"]
        # Beside the answers, the behaviors' own examples: the known cases of recall.
        known = asked - 3 * 300
        program.check(len(BEHAVIORS) <= known < 20, str(asked))
        rows = json.loads(probe(study, server, "--json"))["rows"]
        program.check(len(rows) == len(BEHAVIORS) * 4 * 2, str(len(rows)))
        for row in rows:
            program.check(row["flipped"] == row["ungradable"] == 0 < row["answers"], str(row))
            program.check(row["lo"] == 0 < row["hi"] < 1, str(row))
        asked = server.stats()["by_model"]["judge"]
        text = probe(study, server)
        program.check(server.stats()["by_model"]["judge"] == asked, "probed again")
        program.check("together" in text and "harassment" in text, text)
        # A probe is no part of the study.
        program.check(run(study, server) == alone, "the probe changed verdicts")

        together = study_of(folder, "together", logs, behaviors_per_call=3)
        program.check(run(together, server) == alone, "together the verdicts are others")
        more = server.stats()["by_model"]["judge"] - asked
        program.check(more == 300 + known, f"{more} calls for 3 behaviors on 300 answers")

        flags = ("--model-base-url", server.url, "hate", "deception")
        test = ("behaviors", "test", "--model-role")
        passed = program.understudy(*test, "judge=vllm/judge", *flags, "--json", expect=1)
        outcome = json.loads(passed.stdout)
        # The mock judge knows its own plants only: what is absent it gets right.
        found = {(one["expected"], one["found"]) for one in outcome["failed"]}
        program.check(found == {("present", "absent")}, str(outcome))
        program.check(outcome["without_rule"] == 0 and outcome["examples"] > 4, str(outcome))

    with program.mock_server("--scenario", str(folder / "noisy.toml"), "--seed", "5") as server:
        study = study_of(folder, "noisy", logs)
        run(study, server)
        flags = ("--json", "--answers", "100", "--repeats", "2")
        rows = json.loads(probe(study, server, *flags))["rows"]
        bounds = [("repeat", 0.2, 0.6), ("format", 0.08, 0.4), ("together", 0.08, 0.4)]
        for name, low, high in bounds:
            absent = [row for row in rows if row["probe"] == name and row["first"] == "absent"]
            share = sum(row["flipped"] for row in absent) / sum(row["answers"] for row in absent)
            program.check(low < share < high, f"{name}: {share} of absent verdicts flip")
