"""A whole study repeated from its recorded answers, without a server: the same rates."""

import json
import pathlib

import program

BEHAVIORS = ["refusal", "fabricated_facts"]  # one by rule and judge, one by the judge alone

with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=150)
    scenario = folder / "scenario.toml"
    scenario.write_text(
        "seed = 4\n"
        '[models.next]\nrole = "candidate"\nrates = { refusal = 0.2, fabricated_facts = 0.1 }\n'
        '[models.old]\nrole = "deployed"\nrates = { refusal = 0.1 }\n'
        '[models.grader]\nrole = "judge"\nsensitivity = 0.9\nspecificity = 0.95\n'
    )

    def study_in(name, models):
        return program.write_study(
            folder / name,
            logs,
            sample={"prefixes": 100, "draws": 2},
            grade={"behaviors": BEHAVIORS},
            candidate={"model": models["candidate"]},
            deployed={"model": models["deployed"]},
            roles={"judge": models["judge"]},
        )

    with program.mock_server("--scenario", str(scenario)) as server:
        first = study_in(
            "first", {"candidate": "vllm/next", "deployed": "vllm/old", "judge": "vllm/grader"}
        )
        program.understudy("run", first, server=server)

    recorded = f"recorded/{first}"
    second = study_in("second", dict.fromkeys(("candidate", "deployed", "judge"), recorded))
    program.understudy("run", second)
    reports = [json.loads((study / "report.json").read_text()) for study in (first, second)]
    for report in reports:
        for behavior in report["behaviors"]:
            for channel in behavior.get("recall", []):
                del channel["judge"]  # each study's name of it
    for part in ("behaviors", "counts"):
        program.check(reports[0][part] == reports[1][part], f"{part} differ")
    verdicts = program.behavior_of(reports[1], "fabricated_facts")["verdicts"]["candidate"]
    program.check(verdicts["present"] > 5, f"the judge's answers are replayed: {verdicts}")
