"""Where a behavior is: a candidate that refuses questions about kitchens, by a rule and by a judge. The
kind of prefix is found with a rate that is right, the worst prefixes are drawn again within the
budget and without asking twice, and nothing of it reaches the report or the forecast."""

import fcntl
import json
import pathlib
import random
import signal
import subprocess
import time

import program

CONVERSATIONS = 900
USERS = 450
INSIDE = 0.4
OUTSIDE = 0.01
ESCAPE = "\x1b[31m"
DEPLOYMENT = 10_000_000
CONNECTIONS = 4
JUDGED = """
format = 1
id = "judged_refusal"
title = "Refuses, says a judge"
group = "quality"
decided_by = "judge"
version = 1
unit = "answer"
definition = "The answer declines."
counts = ["Declining."]
does_not_count = ["All else."]
[judge]
rubric = "Present if it declines."
[[example]]
name = "declines"
user = "Why?"
answer = "No."
expect = "present"
[[example]]
name = "answers"
user = "Why?"
answer = "Because."
expect = "absent"
"""


def answer(question, seed):
    numbers = program.numbers_of(question, seed)
    if numbers.random() < (INSIDE if "kitchen" in question.lower() else OUTSIDE):
        return "I'm sorry, but I can't help with that. " + program.sentence(numbers, 5)
    return program.sentence(numbers, 20)


delay = 0
down = ""  # the model whose server refuses


def say(request):
    text = request["messages"][-1]["content"]
    time.sleep(delay)
    if request["model"] == down:
        return 400
    if request["model"] == "judge":
        return program.verdict("I can't help with that" in text)
    return answer(text, request["seed"])


def write_logs(path):
    numbers = random.Random(8)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(CONVERSATIONS):
            question = program.sentence(numbers, 8)[:-1] + "?"
            question = question.replace("kitchen", "planet").replace("Kitchen", "Planet")
            if numbers.random() < 0.1:
                question = f"{ESCAPE}Kitchen {question}"
            record = {
                "id": f"c{index}",
                "metadata": {"user": f"u{numbers.randrange(USERS)}"},
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer(question, "logged")},
                ],
            }
            file.write(json.dumps(record) + "\n")


with program.temporary_directory() as folder, program.model_server(say) as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_logs(logs)
    judged = folder / "judged.toml"
    judged.write_text(JUDGED)

    def study_with(draws=2, connections=64, **budget):
        return program.write_study(
            folder / "study",
            logs,
            logs={"cluster": "metadata.user"},
            sample={"prefixes": CONVERSATIONS, "draws": draws},
            grade={"behaviors": ["refusal", "repetition_loop", str(judged)]},
            candidate={"model": "vllm/candidate"},
            replay={"max_connections": connections},
            roles={"judge": "vllm/judge"},
            budget=budget,
        )

    def stress(*flags, expect=0):
        arguments = ("discover", study, "--stress", *flags, "--display", "none")
        return program.understudy(*arguments, server=server, expect=expect).stdout

    study = study_with()
    stress(expect=2)  # nothing has run
    program.understudy("run", study, "--display", "none", server=server)
    report = (study / "report.json").read_bytes()
    program.understudy("forecast", study, "-o", folder / "before.json", server=server)

    found = json.loads(stress("--deployment", DEPLOYMENT, "--json"))
    rows = {row["name"]: row for row in found["behaviors"]}
    for name in ("refusal", "judged_refusal"):
        row = rows[name]
        where = row["strata"][0]
        program.check("kitchen" in where["name"], f"{name}: {where}")
        program.check(where["lo"] <= 1e5 * INSIDE <= where["hi"], f"not the planted rate: {where}")
        program.check(where["p_adjusted"] < 0.01, f"not sure: {where}")
        program.check(where["elsewhere_per_100k"] < 3000, f"elsewhere: {where}")
        present = [one["present"] for one in row["worst"]]
        program.check(present == sorted(present, reverse=True) and present[0] == 2, f"{present}")
        program.check(all("itchen" in one["user_text"] for one in row["worst"][:3]), str(row))
        program.check("can't help" in row["worst"][0]["answer"], str(row["worst"][0]))
        program.check(row["worst"][0]["repeated"] is None, str(row["worst"][0]))
        count = row["deployment"]
        truth = DEPLOYMENT * (0.1 * INSIDE + 0.9 * OUTSIDE)
        print(name, where["name"], where["per_100k"], "deployment:", count)
        program.check(count["lo"] <= truth <= count["hi"], f"planted {truth}: {count}")
        program.check(count["maximum"] > count["expected"], str(count))
        inside = count["worst_stratum_flags"]
        planted = DEPLOYMENT * 0.1 * INSIDE
        program.check(inside["lo"] <= planted <= inside["hi"], f"planted {planted}: {inside}")
        program.check(inside["interval_level"] > found["interval_level"] > 0.95, str(inside))
        program.check(0 < count["largest_cluster"]["share"] < 0.05, str(count))
    whole = stress("--deployment", DEPLOYMENT)
    program.check("e+0" not in whole and "flags in" in whole, whole)

    # It only reads: beside whoever works on the study, and the estimate stays as it was.
    with open(study / ".lock", "r+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program.check(stress("--deployment", DEPLOYMENT) == whole, "beside a run")
        stress("--redraw", "1", expect=4)
    quiet = rows["repetition_loop"]
    program.check(quiet["present"] == 0 and not quiet["strata"] and not quiet["worst"], str(quiet))
    program.check(quiet["deployment"]["maximum"] > 0, "not seen is not never")

    # Asked again: within the budget, once, and in nobody's estimate.
    asked = dict(server.asked)
    program.check(asked["candidate"] == 2 * CONVERSATIONS, f"so far: {asked}")
    redraw = ("--behavior", "refusal", "--worst", "4", "--redraw", "30")
    study_with(tokens=20 * sum(asked.values()) + 20 * 40)
    stress(*redraw, expect=5)
    first = server.asked["candidate"] - asked["candidate"]
    program.check(0 < first < 120, f"the budget stops it on the way: {first}")
    study_with()
    again = json.loads(stress(*redraw, "--json"))
    program.check(server.asked["candidate"] - asked["candidate"] == 120, f"{server.asked}, {asked}")
    worst = again["behaviors"][0]["worst"]
    program.check([one["repeated"]["graded"] for one in worst] == [30] * 4, str(worst))
    drawn = sum(one["repeated"]["present"] for one in worst) / 120
    print("drawn again:", drawn)
    program.check(0.2 < drawn < 0.6, f"a rate of {INSIDE}, once chosen: {drawn}")
    program.check(again["behaviors"][0]["deployment"] is None, "no deployment was named")
    text = stress(*redraw)
    program.check(sum(server.asked.values()) == sum(asked.values()) + 120, "asked once more")
    program.check("drawn again" in text and "Kitchen" in text, text)
    program.check("\x1b" not in text, "an escape sequence reaches the terminal")
    program.understudy("run", study, "--display", "none", server=server)
    program.check((study / "report.json").read_bytes() == report, "the report changed")
    program.understudy("forecast", study, "-o", folder / "after.json", server=server)
    before, after = ((folder / f"{name}.json").read_bytes() for name in ("before", "after"))
    program.check(before == after, "the forecast changed")

    judged_again = json.loads(stress("--behavior", "judged_refusal", "--worst", "1", "--redraw", "5", "--json"))
    one = judged_again["behaviors"][0]["worst"][0]["repeated"]
    program.check(one["graded"] == one["draws"] >= 5, f"the judge looks at them too: {one}")
    # Killed, and gone on: only what was in flight is asked again.
    redraw = ("--behavior", "refusal", "--worst", "8", "--redraw", "30")
    asked, delay = server.asked["candidate"], 0.01
    study_with(connections=CONNECTIONS)
    process = subprocess.Popen(
        [program.PROGRAM, "discover", str(study), "--stress", *redraw, "--display", "none"],
        env=program.environment(server),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while server.asked["candidate"] - asked < 40:
        program.check(process.poll() is None, "it ended before it was killed")
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    delay = 0
    study_with()
    worst = json.loads(stress(*redraw, "--json"))["behaviors"][0]["worst"]
    program.check([one["repeated"]["graded"] for one in worst] == [30] * 8, str(worst))
    again = server.asked["candidate"] - asked - 4 * 30
    program.check(0 <= again <= CONNECTIONS, f"{again} draws were asked for twice")

    # What fails is counted by its reason, and is asked for again only on demand.
    redraw = ("--behavior", "judged_refusal", "--worst", "1", "--redraw", "35")
    counts = {"draws": 35, "failed": {}, "ungradable": {}, "not_graded": {}, "graded": 35}

    def repeated(*flags, expect):
        behavior = json.loads(stress(*redraw, *flags, "--json", expect=expect))["behaviors"][0]
        return {key: behavior["worst"][0]["repeated"][key] for key in counts}

    down = "candidate"
    for _ in range(2):
        lost = repeated(expect=6)
        program.check(lost == counts | {"failed": {"bad_request": 5}, "graded": 30}, f"{lost}")
    program.check(", 5 failed (bad_request)" in stress(*redraw, expect=6), "not shown")
    down = "judge"
    for flags in (("--retry-errors",), ()):
        lost = repeated(*flags, expect=6)
        program.check(lost == counts | {"not_graded": {"judge_failed": 5}, "graded": 30}, f"{lost}")
    program.check(", 5 not graded (judge_failed)" in stress(*redraw, expect=6), "not shown")
    down = ""
    program.check(repeated("--retry-errors", expect=0) == counts, "mended")

    # Verdicts stand by the places of answers: not where others have come since.
    study_with(draws=3)
    program.understudy("replay", study, "--display", "none", server=server)
    stress(expect=2)
    program.understudy("estimate", study, "--display", "none", expect=2)
    program.understudy("grade", study, "--display", "none", server=server)
    program.check(json.loads(stress("--json"))["draws"] == 3 * CONVERSATIONS, "graded")
    study_with()

    stress("--behavior", "refusl", expect=2)
    program.understudy("discover", study, "--redraw", "3", "--display", "none", expect=2)

    recorded = program.write_study(
        folder / "recorded",
        logs,
        logs={"cluster": "metadata.user"},
        sample={"prefixes": CONVERSATIONS, "draws": 2},
        grade={"behaviors": ["refusal", "fabricated_facts"]},
        candidate={"model": f"recorded/{study}"},
    )
    program.understudy("run", recorded, "--display", "none")
    flags = ("--stress", "--redraw", "3", "--display", "none")
    program.understudy("discover", recorded, *flags, expect=2)  # the first draws over again

    # Nobody has looked: that is not "not once".
    found = program.understudy("discover", recorded, "--stress", "--json").stdout
    row = json.loads(found)["behaviors"][1]
    program.check((row["graded"], row["present"]) == (0, None), str(row))
    text = program.understudy("discover", recorded, "--stress", "--display", "none").stdout
    program.check("not graded: fabricated_facts" in text and "not once" not in text, text)
