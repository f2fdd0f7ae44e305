"""A changed grader is run over stored answers without a model: the table of what it changes adds up
to the draws, and every flip is one that the change of the file explains.

  regrade.py [DRAWS]     default 400; prints how long all twelve rules take over them
"""

import json
import pathlib
import re
import sys
import time

import program

BEHAVIOR = "promised_background_task"
DRAWS = int(sys.argv[1]) if len(sys.argv) > 1 else 400

with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=(DRAWS + 1) // 2)
    listed = json.loads(program.understudy("behaviors", "list", "--json").stdout)
    rules = [one["id"] for one in listed["behaviors"] if one["decided_by"].startswith("rule")]
    rules.remove(BEHAVIOR)
    shown = json.loads(program.understudy("behaviors", "show", BEHAVIOR, "--json").stdout)
    built_in = pathlib.Path(__file__).resolve().parents[2] / "behaviors" / f"{BEHAVIOR}.toml"
    ours = folder / "study" / "ours.toml"
    program.write_study(
        folder / "study",
        logs,
        sample={"prefixes": DRAWS},
        candidate={"model": "vllm/mock"},
        grade={"behaviors": ["ours.toml", *rules]},
    )
    study = folder / "study"
    text = built_in.read_text(encoding="utf-8")
    ours.write_text(text, encoding="utf-8")
    with program.mock_server("--behavior", f"{BEHAVIOR}=0.2", "--seed", "7") as server:
        done = program.understudy("run", study, "--json", "--display", "none", server=server)
    before = program.behavior_of(json.loads(done.stdout), BEHAVIOR)["verdicts"]["candidate"]
    program.understudy("behaviors", "compare", study, BEHAVIOR, expect=2)

    # From here on no server listens: a model call would fail. The new version no longer minds one
    # of the three planted sentences; its own examples stay as they are or go.
    program.check(shown["behavior"]["version"] == int(re.search(r"version = (\d+)", text)[1]), text)
    changed = re.sub(r"version = \d+", "version = 99", text, count=1)
    changed = changed.replace(
        "[rule.patterns]", '[rule.patterns]\nunless_answer = ["results tomorrow"]', 1
    )
    if changed.count("unless_answer") != 1 or "[rule.patterns]" not in text:
        raise SystemExit("FAILED: the built-in file is laid out otherwise than this test expects")
    ours.write_text(changed, encoding="utf-8")
    started = time.monotonic()
    program.understudy("grade", study, "--display", "none")
    seconds = time.monotonic() - started
    found = json.loads(program.understudy("behaviors", "compare", study, BEHAVIOR, "--json").stdout)
    for arm, one in found["arms"].items():
        cells = [count for row in one["table"].values() for count in row.values()]
        program.check(sum(cells) == one["answers"], f"{arm}: {one['table']}")
        off_diagonal = sum(
            count
            for before_kind, row in one["table"].items()
            for now_kind, count in row.items()
            if before_kind != now_kind
        )
        program.check(off_diagonal == one["changed"] == len(one["flips"]), f"{arm}: {one}")
    candidate = found["arms"]["candidate"]
    program.check(candidate["answers"] == DRAWS, str(candidate["answers"]))
    was_present = sum(candidate["table"]["present"].values())
    program.check(was_present == before["present"], f"{was_present} of {before}")
    flipped = candidate["table"]["present"]["absent"]
    program.check(0 < flipped < was_present, str(candidate["table"]))
    program.check(flipped == candidate["changed"], str(candidate["table"]))
    said = program.understudy("behaviors", "compare", study, BEHAVIOR).stdout
    program.check(f"{flipped:,} of {DRAWS:,} changed" in said, said)
    program.check("results tomorrow" not in said, "text of an answer")
    # And back: the older verdicts were kept, the same answers flip the other way.
    ours.write_text(text, encoding="utf-8")
    program.understudy("grade", study, "--display", "none")
    back = json.loads(program.understudy("behaviors", "compare", study, BEHAVIOR, "--json").stdout)
    program.check(
        back["arms"]["candidate"]["table"]["absent"]["present"] == flipped, str(back["arms"])
    )
    program.understudy("behaviors", "compare", study, "refusl", expect=2)
    print(
        f"{DRAWS} draws and as many logged answers graded with {len(rules) + 1} rules in "
        f"{seconds:.1f} s; {flipped} of {was_present} flags flipped"
    )
