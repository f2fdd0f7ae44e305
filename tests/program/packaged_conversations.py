"""The demo's conversations: every record read or rejected with its place, every one left out counted
in the documented order, every logged answer of the frame graded. With the packaged model where it is
there, and then a few of its answers; skipped where script/setup has not fetched the conversations."""

import json
import os
import pathlib
import sys

import program

cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
conversations = cache / "understudy/sharegpt/ShareGPT_V3_unfiltered_cleaned_split.json"
weights = cache / "understudy/models/smollm2-135m-instruct-q8_0.gguf"
if not conversations.exists() or not weights.exists():
    print("skipped: script/setup --demo-data has not fetched the packaged conversations and model")
    sys.exit(77)

with program.temporary_directory() as folder:
    study = pathlib.Path(folder) / "demo"
    done = program.understudy(
        "demo", study, "--prefixes", "6", "--json", "--display", "none", timeout=800
    )
    report = json.loads(done.stdout)
    program.check_counts(report)
    counts = report["counts"]
    read = counts["conversations"]
    program.check(read["read"] == 17671, f"read: {read}")
    program.check(read["rejected"] == {"truncated": 1}, f"rejected: {read}")
    program.check(read["excluded"]["empty"] == 126, f"excluded: {read}")
    program.check(read["excluded"]["duplicate_content"] == 757, f"excluded: {read}")
    program.check(read["excluded"]["starts_in_the_middle"] > 0, f"excluded: {read}")
    rejects = (study / "rejects.jsonl").read_text()
    program.check(json.loads(rejects).keys() == {"file", "line", "byte_offset", "reason"}, rejects)
    draws = counts["draws"]
    program.check(draws["candidate"]["requested"] == 6, str(draws))
    program.check(draws["deployed"]["completed"] == counts["prefixes"]["frame"], str(draws))
    for behavior in report["behaviors"]:
        n = behavior["deployed"]["screen"]["n"]
        out_of_scope = sum(behavior["verdicts"]["deployed"]["ungradable"].values())
        program.check(
            n + out_of_scope == counts["prefixes"]["frame"], f"{behavior['name']}: n = {n}"
        )
    text = (study / "report.html").read_text()
    program.check("<script" not in text.lower(), "report.html has a script")
    again = program.understudy("demo", study, "--display", "plain")
    program.check("up to date" in again.stderr, again.stderr)
    print(json.dumps(counts, indent=1))
