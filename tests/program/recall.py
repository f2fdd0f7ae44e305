"""What a study knows of its screen's misses: known cases put to the judge blind, finds among the stored
answers, a recall file; and an oracle's budget that does not reach all flags."""

import csv
import io
import json
import pathlib

import program

BEHAVIOR = "confirmation_hacking"
SCENARIO = f"""
[models.candidate]
role = "candidate"
rates = {{ {BEHAVIOR} = 0.2 }}
[models.judge]
role = "judge"
sensitivity = 0.8
specificity = 0.99
[models.oracle]
role = "oracle"
"""
CASES = 60


def known_case(number):
    return {
        "behavior": BEHAVIOR,
        "source_model": "vllm/candidate",
        "messages": [
            {"role": "user", "content": f"Question {number}, secret-marker?"},
            {
                "role": "assistant",
                "content": f"Part {number}. This sentence stands in for an answer that shows {BEHAVIOR}.",
            },
        ],
    }


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    (folder / "scenario.toml").write_text(SCENARIO)
    program.write_logs(folder / "logs.jsonl", conversations=400)
    study = program.write_study(
        folder / "study",
        folder / "logs.jsonl",
        sample={"prefixes": 400},
        candidate={"model": "vllm/candidate"},
        roles={"judge": "vllm/judge", "oracle": "vllm/oracle"},
        grade={"behaviors": [BEHAVIOR], "audit": 30, "oracle_budget": 50},
    )
    with program.mock_server("--scenario", str(folder / "scenario.toml"), "--seed", "3") as server:

        def run():
            before = server.stats()["requests"]
            done = program.understudy("run", study, "--json", "--display", "none", server=server)
            report = json.loads(done.stdout)
            program.check_counts(report)
            return program.behavior_of(report, BEHAVIOR), server.stats()["requests"] - before

        # Without known cases: the examples of the behavior's file alone, which divide nothing.
        plain, asked = run()
        (examples,) = plain["recall"]
        program.check(examples["channel"] == "examples" and examples["positives"] == 3, str(examples))
        program.check("recall" not in plain["candidate"]["corrected"]["method"], str(plain))

        # The budget: 30 on the audit, 20 on the flags, a fifth of 400 being more.
        verdicts = plain["verdicts"]["candidate"]
        program.check(verdicts["present"] > 40 and verdicts["verified"] == 50, str(verdicts))
        rate = plain["candidate"]["verified"]
        program.check(rate["method"] == "flags_times_precision", str(rate))
        program.check(run()[1] == 0, "asked again")

        # Known cases: asked once each, counted, and in no rate.
        write_lines(study / "known.jsonl", [known_case(i) for i in range(CASES)])
        seeded, asked = run()
        program.check(asked == CASES, f"{asked} questions for {CASES} known cases")
        (known,) = [row for row in seeded["recall"] if row["channel"] == "known"]
        program.check(known["positives"] == CASES, str(known))
        program.check(0.6 < known["flagged"] / CASES < 0.95, f"sensitivity 0.8: {known}")
        program.check(known["judge"] == "vllm/judge", str(known))
        program.check(not known["transferred"], str(known))
        program.check(seeded["verdicts"] == plain["verdicts"], "known cases are in the counts")
        corrected = seeded["candidate"]["corrected"]
        program.check(corrected["method"] == "verified_over_recall", str(corrected))
        program.check(corrected["lo"] <= 20_000 <= corrected["hi"], f"planted 20,000: {corrected}")
        write_lines(study / "known.jsonl", [known_case(i) for i in range(5, CASES + 2)])
        program.check(run()[1] == 2, "only what is new is asked")

        # A find among the stored answers: the queue names one that was flagged.
        queue = program.understudy("label", study, "queue", "-n", "1", server=server).stdout
        (row,) = csv.DictReader(io.StringIO(queue))
        write_lines(study / "known.jsonl", [{"behavior": BEHAVIOR, "id": row["id"]}])
        found, asked = run()
        (find,) = [row for row in found["recall"] if row["channel"] == "found"]
        program.check(asked == 0 and find["positives"] == find["flagged"] == 1, str(find))
        (study / "known.jsonl").unlink()

        # A recall file, and what it was measured with.
        recall = study / "recall.csv"
        recall.write_text(f"behavior,channel,positives,flagged\n{BEHAVIOR},auditor,200,160\n")
        measured, _ = run()
        program.check("stale_recall" not in measured["alarms"], str(measured["alarms"]))
        program.check("transferred_calibration" not in measured["alarms"], str(measured["alarms"]))
        share = measured["candidate"]["verified"]["per_100k"] * 201 / 160.5
        point = measured["candidate"]["corrected"]["per_100k"]
        program.check(abs(point / share - 1) < 1e-6, f"{point} is not {share}")
        recall.write_text(
            "behavior,channel,positives,flagged,judge,source_model,version\n"
            f"{BEHAVIOR},auditor,200,160,vllm/judge,vllm/candidate,0\n"
            f"{BEHAVIOR},auditor,100,80,vllm/other,vllm/candidate,1\n"
        )
        elsewhere, _ = run()
        program.check("stale_recall" in elsewhere["alarms"], str(elsewhere["alarms"]))
        program.check("transferred_calibration" in elsewhere["alarms"], str(elsewhere["alarms"]))
        program.check("stale" in (study / "report.html").read_text(), "no word in the report")

        # Bad input: file and line, and nothing of what stands there.
        recall.write_text("behavior,channel,positives,flagged\nconfirmation_hackin,auditor,200,160\n")
        bad = program.understudy("run", study, "--display", "none", server=server, expect=3)
        program.check("recall.csv" in bad.stderr and BEHAVIOR in bad.stderr, bad.stderr)
        recall.unlink()
        no_answer = known_case(2)
        del no_answer["messages"][1]
        for record in (no_answer, {"behavior": BEHAVIOR, "id": "secret-marker"}, ["secret-marker"]):
            write_lines(study / "known.jsonl", [known_case(1), record])
            bad = program.understudy("run", study, "--display", "none", server=server, expect=3)
            program.check("known.jsonl:2" in bad.stderr, bad.stderr)
            program.check("secret-marker" not in bad.stderr, bad.stderr)

        (study / "known.jsonl").unlink()
        plan = json.loads(program.understudy("plan", study, "--json", "--display", "none").stdout)
        (behavior,) = plan["behaviors"]
        program.check(behavior["verification"]["audit"] == 30, str(behavior))
        roles = {role["role"]: role for role in plan["roles"]}
        program.check(roles["judge"]["calls"] == 400 + 400 + 3, str(roles["judge"]))
        program.check(0 < roles["oracle"]["calls"] <= 100, str(roles["oracle"]))
print("known cases, finds, a recall file and a budget: as they should be")
