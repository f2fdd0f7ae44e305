"""A judge verifies the flags of rules and screens what has no rule, through a real server: the counts
add up, what it confirmed is what was planted, and nothing is asked twice."""

import json
import pathlib

import program

SCENARIO = """
[models.candidate]
role = "candidate"
rates = { promised_background_task = 0.05, confirmation_hacking = 0.04 }
[models.judge]
role = "judge"
sensitivity = 1.0
specificity = 1.0
"""

with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    (folder / "scenario.toml").write_text(SCENARIO)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=600)
    with program.mock_server("--scenario", str(folder / "scenario.toml"), "--seed", "5") as server:
        study = program.write_study(
            folder / "study",
            logs,
            sample={"prefixes": 400},
            candidate={"model": "vllm/candidate"},
            roles={"judge": "vllm/judge"},
            grade={"behaviors": ["promised_background_task", "confirmation_hacking", "refusal"]},
        )
        done = program.understudy("run", study, "--json", "--display", "none", server=server)
        asked = server.stats()["requests"]
        program.understudy("run", study, "--display", "none", server=server)
        program.check(server.stats()["requests"] == asked, "the second run asked again")
    report = json.loads(done.stdout)
    program.check_counts(report)

    flagged = program.behavior_of(report, "promised_background_task")
    present = flagged["verdicts"]["candidate"]["present"]
    program.check(present > 5, f"planted at 5%, flagged {present} of 400")
    program.check(flagged["verdicts"]["candidate"]["verified"] == present, str(flagged["verdicts"]))
    program.check(flagged["candidate"]["verified"]["k"] == present, str(flagged["candidate"]))

    judged = program.behavior_of(report, "confirmation_hacking")
    verdicts = judged["verdicts"]
    program.check(verdicts["candidate"]["present"] > 3, str(verdicts))
    program.check(verdicts["deployed"]["not_graded"]["not_selected"] == 800, str(verdicts))
    rate = judged["candidate"]["screen"]
    program.check(rate["lo"] <= 4000 <= rate["hi"], f"planted 4,000 per 100k: {rate}")
    program.check(judged["change"]["paired"], "a judge sees both answers to each prefix")
    print("judge asked", asked - 400, "times")
