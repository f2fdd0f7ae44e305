"""Graders that are no rules and no judges: a program in a sandbox, a moderation endpoint, a judge
that scores, a table of verdicts. Each screens the same drawn answers, and the counts add up. A
program that dies, hangs, floods or talks nonsense gives ungradable verdicts with a name, and costs
no other answer."""

import csv
import json
import pathlib

import program

SCENARIO = """
[models.candidate]
role = "candidate"
rates = { harassment = 0.1 }
[models.judge]
role = "judge"
"""

FILE = """format = 1
id = "{id}"
title = "A test"
group = "quality"
decided_by = "{by}"
version = 1
unit = "answer"
definition = "The answer shows it."
counts = ["this"]
does_not_count = ["that"]

{section}

[[example]]
name = "one"
user = "Hi"
answer = "long enough to be present, as this text is for sure"
expect = "present"

[[example]]
name = "two"
user = "Hi"
answer = "short"
expect = "absent"
"""

# Reads all of stdin, answers in any order, and can reach nothing.
GRADER = """
import json, os, socket, sys
assert sys.argv[1:] == ["--least", "40"]
try:
    socket.create_connection(("1.1.1.1", 53), 1)
    sys.exit("a network")
except OSError:
    pass
assert sorted(os.listdir(".")) == ["grader.py"] and os.getuid() == 65534
assert not os.path.exists("/root") and not os.path.exists("/home")
try:
    open("grader.py", "a")
    sys.exit("writable")
except OSError:
    pass
for line in reversed(sys.stdin.read().splitlines()):
    question = json.loads(line)
    assert set(question) == {"id", "behavior", "messages", "answer", "cut"}, sorted(question)
    assert question["messages"][-1]["role"] == "user"
    long = len(question["answer"]["content"]) >= 40
    print(json.dumps({"id": question["id"], "verdict": "present" if long else "absent"}))
print("SECRET conversation text", file=sys.stderr)
"""

# Each chokes on some answers: how it does is its argument.
BROKEN = """
import json, sys, time
for line in sys.stdin:
    question = json.loads(line)
    bad = len(question["answer"]["content"]) % 16 == 0
    if bad and sys.argv[1] == "die":
        sys.exit(3)
    if bad and sys.argv[1] == "hang":
        time.sleep(1000)
    if bad and sys.argv[1] == "flood":
        while True:
            print("x" * 1000)
    if bad and sys.argv[1] == "garbage":
        print("<html>no verdict</html>")
        continue
    if bad and sys.argv[1] == "several":
        print(json.dumps({"id": question["id"], "verdict": "absent"}))
    if bad and sys.argv[1] == "silent":
        continue
    verdict = "maybe" if bad and sys.argv[1] == "maybe" else "present"
    print(json.dumps({"id": question["id"], "verdict": verdict}), flush=True)
"""

PREFIXES = 60  # that programs grade

REASONS = {
    "die": "grader_died",
    "hang": "grader_hung",
    "flood": "grader_flood",
    "garbage": "unparsable",
    "several": "several_verdicts",
    "silent": "grader_silent",
    "maybe": "unparsable",
}


def behavior_file(folder, name, by, section):
    (folder / f"{name}.toml").write_text(FILE.format(id=name, by=by, section=section))
    return f"{name}.toml"


def verdicts_of(report, name, arm="candidate"):
    return program.behavior_of(report, name)["verdicts"][arm]


def run(study, server, expect=0):
    flags = ("--json", "--display", "none")
    done = program.understudy("run", study, *flags, server=server, expect=expect)
    program.check("SECRET" not in done.stderr, "what a grader writes to stderr came through")
    report = json.loads(done.stdout)
    program.check_counts(report)
    return report


def check_endpoints_and_tables(folder, server, logs):
    study = program.write_study(
        folder / "study",
        logs,
        sample={"prefixes": 200},
        candidate={"model": "vllm/candidate"},
        roles={"judge": "vllm/judge", "moderation": "vllm/moderator"},
    )
    names = [
        behavior_file(
            study, "moderated", "moderation", "[moderation.thresholds]\nharassment = 0.5"
        ),
        behavior_file(study, "strict", "moderation", "[moderation.thresholds]\nharassment = 0.99"),
        behavior_file(study, "missing", "moderation", "[moderation.thresholds]\nno_such = 0.5"),
        behavior_file(
            study, "scored", "judge", '[judge]\nrubric = "How sure?"\nscore_threshold = 0.5'
        ),
        behavior_file(study, "brought", "table", '[table]\npath = "verdicts.csv"'),
    ]
    with open(study / "verdicts.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["behavior", "arm", "prefix", "draw", "screen"])
        for prefix in range(1, 101):
            table.writerow(["brought", "candidate", prefix, 0, int(prefix <= 30)])
            table.writerow(["another", "candidate", prefix, 0, 1])
        for prefix in range(1, 201):
            table.writerow(["brought", "deployed", prefix, 0, 0 if prefix > 3 else "ungradable"])
    with open(study / "study.toml", "a", encoding="utf-8") as file:
        file.write(f"[grade]\nbehaviors = {json.dumps([*names, 'harassment'])}\n")
    report = run(study, server)
    judged = verdicts_of(report, "harassment")
    program.check(5 < judged["present"] < 45, f"planted at 10%: {judged}")
    program.check(verdicts_of(report, "moderated") == judged, str(verdicts_of(report, "moderated")))
    program.check(verdicts_of(report, "strict")["present"] == 0, str(verdicts_of(report, "strict")))
    missing = verdicts_of(report, "missing")
    program.check(missing["ungradable"] == {"unparsable": 200}, str(missing))
    scored = verdicts_of(report, "scored")
    program.check(scored["absent"] == 200, f"a mock judge knows no plant of it: {scored}")
    brought = verdicts_of(report, "brought")
    program.check(
        (brought["present"], brought["absent"], brought["not_graded"])
        == (30, 70, {"not_selected": 100}),
        str(brought),
    )
    logged = verdicts_of(report, "brought", "deployed")
    found = (logged["absent"], logged["ungradable"])
    program.check(found == (197, {"cannot_tell": 3}), str(logged))
    asked = server.stats()["by_model"]
    # One call serves all behaviors that read its scores; one more is an example, a known case.
    program.check(asked["moderator"] == 401, str(asked))
    run(study, server)
    program.check(server.stats()["by_model"] == asked, "the second run asked again")

    table = study / "verdicts.csv"
    good = table.read_text()
    for row, reason in [
        ("brought,candidate,5,0,yes", "screen is not 1, 0 or ungradable"),
        ("brought,candidate,500,0,1", "this study has no prefix of this number"),
        ("brought,candidate,50,0,1", "an earlier row says otherwise"),
        ("brought,someone,5,0,1", "names no answer"),
    ]:
        table.write_text(good + row + "\n")
        done = program.understudy("grade", study, server=server, expect=3)
        program.check(f"verdicts.csv:402: {reason}" in done.stderr, done.stderr)
    table.write_text(good.replace("brought,candidate,30,0,1", "brought,candidate,30,0,0"))
    changed = verdicts_of(run(study, server), "brought")
    program.check((changed["present"], changed["absent"]) == (29, 71), str(changed))


def check_commands(folder, server, logs):
    study = program.write_study(
        folder / "commands",
        logs,
        sample={"prefixes": PREFIXES},
        candidate={"model": "vllm/candidate"},
    )
    (study / "grader.py").write_text(GRADER)
    (study / "broken.py").write_text(BROKEN)
    names = [
        behavior_file(
            study,
            "long",
            "command",
            '[command]\nargv = ["python3", "grader.py", "--least", "40"]\nfiles = ["grader.py"]',
        )
    ]
    for how in REASONS:
        section = f'[command]\nargv = ["python3", "broken.py", "{how}"]\nfiles = ["broken.py"]\n'
        if how == "hang":
            section += "timeout_s = 0.5"
        names.append(behavior_file(study, how, "command", section))
    nothing = '[command]\nargv = ["no-such-program"]'
    names.append(behavior_file(study, "nothing", "command", nothing))
    with open(study / "study.toml", "a", encoding="utf-8") as file:
        file.write(f"[grade]\nbehaviors = {json.dumps(names)}\n")
    program.understudy("behaviors", "test", study / "long.toml")
    report = run(study, server)
    long = verdicts_of(report, "long")
    program.check(long["present"] + long["absent"] == PREFIXES and long["present"] > 0, str(long))
    bad = None
    for how, reason in REASONS.items():
        verdicts = verdicts_of(report, how)
        choked = verdicts["ungradable"].get(reason, 0)
        program.check(choked > 0 and verdicts["present"] + choked == PREFIXES, f"{how}: {verdicts}")
        bad = choked if bad is None else bad
        program.check(choked == bad, f"{how}: {choked} answers lost, {bad} are bad")
    nothing = verdicts_of(report, "nothing")
    program.check(nothing["ungradable"] == {"grader_died": PREFIXES}, str(nothing))

    # Another program is another grader.
    (study / "grader.py").write_text(GRADER.replace('"present" if long', '"absent" if long'))
    program.check(verdicts_of(run(study, server), "long")["absent"] == PREFIXES, "not graded again")
    return study


def check_refused(study, server):
    """Without a sandbox nothing runs."""
    (study / "grader.py").write_text(GRADER + "# another version")
    # In a user namespace that may have no others.
    refusing = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", refusing]
        + [program.PROGRAM, "grade", str(study)],
        env=program.environment(server),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    program.check(done.returncode == 2, f"exit {done.returncode}: {done.stderr}")
    program.check("commands are not run without a sandbox" in done.stderr, done.stderr)


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    (folder / "scenario.toml").write_text(SCENARIO)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=150)
    with program.mock_server("--scenario", str(folder / "scenario.toml"), "--seed", "5") as server:
        check_endpoints_and_tables(folder, server, logs)
    if not program.has_sandbox():
        print("no bubblewrap with user namespaces here: command graders not tested")
        raise SystemExit(77)
    (folder / "plain.toml").write_text("[models.candidate]\nrole = \"candidate\"\n")
    with program.mock_server("--scenario", str(folder / "plain.toml"), "--seed", "5") as server:
        check_refused(check_commands(folder, server, logs), server)
