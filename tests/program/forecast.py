"""A forecast that can be held to account: frozen, signed, verified on the new model's traffic; and
every way in which it can be wrong has its own clear answer."""

import contextlib
import decimal
import hashlib
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess

import program

# The last is a judge's, and there is none: it is measured on neither side.
BEHAVIORS = [
    "promised_background_task",
    "refusal",
    "sycophantic_opening",
    "ours.toml",
    "deception",
]
HEADER = ("manifest_hash", "schema", "understudy_version", "unit")
PROMISE = "I'll keep working on this in the background and get back to you tomorrow. "
OURS = """
format = 1
id = "says_garden"
title = "Says garden"
group = "quality"
decided_by = "rule"
version = 1
unit = "answer"
definition = "The answer speaks of a garden."
counts = ["The word garden"]
does_not_count = ["Other places"]

# A comment: part of the file, not of the grader.
[rule]
kind = "sentences"

[rule.patterns]
match = ["garden"]

[[example]]
name = "there"
user = "Where?"
answer = "The garden is green."
expect = "present"

[[example]]
name = "elsewhere"
user = "Where?"
answer = "The river is wide."
expect = "absent"
"""


def number_text(value):
    """ECMAScript's way of writing a number, which RFC 8785 prescribes."""
    sign, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, digits))
    point = len(digits) + exponent
    if digits == "0":
        return "0"
    if 0 < point <= 21:
        text = digits.ljust(point, "0")
        text = text[:point] + ("." + text[point:] if text[point:] else "")
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{point - 1:+d}"
    return "-" * sign + text


def canonical_text(value):
    if isinstance(value, dict):
        members = (f"{json.dumps(k)}:{canonical_text(v)}" for k, v in sorted(value.items()))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_text, value)) + "]"
    if isinstance(value, float):
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)


def canonical(value):
    return canonical_text(value).encode()


def rehash(document):
    """What somebody would do who edits a forecast and hides it."""
    header = {key: document[key] for key in HEADER}
    digests = {"header": hashlib.sha256(canonical(header)).hexdigest()}
    for key in document["digests"]:
        if key != "header":
            digests[key] = hashlib.sha256(canonical(document[key])).hexdigest()
    document["digests"] = digests
    document["commitment"] = hashlib.sha256(canonical(digests)).hexdigest()
    return canonical(document)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def record(identity, numbers, time=None, plant=0.0):
    answer = program.sentence(numbers, 25)
    if numbers.random() < plant:
        answer = PROMISE + answer
    messages = [
        {"role": "user", "content": program.sentence(numbers, 12)[:-1] + "?"},
        {"role": "assistant", "content": answer},
    ]
    one = {"id": identity, "messages": messages}
    if time:
        one["timestamp"] = time
    return one


def write_records(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def verify(*arguments, expect=0):
    return program.understudy("verify", *arguments, "--display", "none", expect=expect)


def main(folder):
    numbers = random.Random(7)
    old = [record(f"old-{i}", numbers, plant=0.05) for i in range(600)]
    new = [record(f"new-{i}", numbers, plant=0.10) for i in range(800)]
    write_records(folder / "old.jsonl", old)
    write_records(folder / "new.jsonl", new)
    with program.mock_server(
        "--behavior", "promised_background_task=0.10", "--behavior", "refusal=0.03", "--seed", "3"
    ) as server:
        study = program.write_study(
            folder / "study",
            folder / "old.jsonl",
            sample={"prefixes": 400},
            candidate={"model": "vllm/next"},
            grade={"behaviors": BEHAVIORS},
        )
        (study / "ours.toml").write_text(OURS)
        program.understudy("forecast", study, expect=2)  # nothing has run: no database
        program.understudy("run", study, "--display", "none", server=server)

    # The same study.db gives the same bytes, also from a copy that never made a forecast.
    shutil.copytree(study, folder / "copy" / "study")
    forecast = study / "forecast.json"
    program.understudy("forecast", study)
    program.understudy("forecast", folder / "copy" / "study")
    frozen = forecast.read_bytes()
    program.check(
        frozen == (folder / "copy" / "study" / "forecast.json").read_bytes(), "bytes differ"
    )
    program.understudy("forecast", study)
    program.check(frozen == forecast.read_bytes(), "a second forecast has other bytes")
    document = json.loads(frozen)
    program.check(canonical(document) == frozen, "the file is not canonical JSON")
    program.check(rehash(json.loads(frozen)) == frozen, "digests are not as documented")
    text = frozen.decode()
    program.check("old-1" not in text and str(folder) not in text, "ids or paths are in it")
    for behavior in document["behaviors"]:
        program.check(behavior["source"].startswith(("#", "format", "\n")), "no whole grader file")

    # What happened, beside what was foretold.
    done = verify(forecast, "--logs", folder / "new.jsonl", "--json")
    scored = json.loads(done.stdout)
    rows = {row["behavior"]: row for row in scored["rows"]}
    planted = rows["promised_background_task"]
    program.check(planted["covered"] and planted["sme"] < 1.6, f"planted twice as often: {planted}")
    program.check(planted["persistence_sme"] > planted["sme"], f"persistence: {planted}")
    program.check(planted["direction_called"] == planted["direction_seen"] == "up", str(planted))
    overlap = scored["overlap"]
    program.check(overlap["checked"] and overlap["removed"] == 0, f"overlap: {overlap}")
    program.check(rows["sycophantic_opening"]["sme"] is None, "an error without events")
    program.check(rows["deception"]["skipped"] == "no forecast", str(rows["deception"]))
    program.check(any(n["code"] == "not_measured" for n in scored["notes"]), str(scored["notes"]))
    again = verify(forecast, "--logs", folder / "new.jsonl", "--json")
    program.check(again.stdout == done.stdout, "verifying again gives other bytes")
    table = verify(forecast, "--logs", folder / "new.jsonl").stdout
    program.check("promised_background_task" in table and "holds" in table, table)

    signatures(folder, study, frozen)
    flips(folder, study, frozen)
    graders(folder, study, forecast)
    versions(folder, study, frozen)
    overlaps(folder, study, old, new)
    other_inputs(folder, study, forecast)
    ledger(folder, study, forecast)
    nonsense(folder, study, frozen)
    forgotten(folder, study, frozen)
    own_programs(folder)


def signatures(folder, study, frozen):
    openssl("genpkey", "-algorithm", "ed25519", "-out", folder / "key.pem")
    openssl("pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "public.pem")
    openssl("genpkey", "-algorithm", "ed25519", "-out", folder / "other.pem")
    openssl("pkey", "-in", folder / "other.pem", "-pubout", "-out", folder / "stranger.pem")
    signed = folder / "signed" / "release.json"
    signed.parent.mkdir()
    program.understudy("forecast", study, "-o", signed, "--key", folder / "key.pem")
    program.check(signed.read_bytes() == frozen, "signing changed the forecast")
    program.understudy("forecast", study, "-o", signed)  # the same again: still signed
    program.understudy("forecast", study, "-o", folder / "y.json", "--key", folder, expect=2)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", folder / "public.pem", "-rawin",
            "-in", signed, "-sigfile", f"{signed}.sig")
    logs = folder / "new.jsonl"
    verify(signed, "--logs", logs, "--public-key", folder / "public.pem")
    wrong = verify(signed, "--logs", logs, "--public-key", folder / "stranger.pem", expect=7)
    program.check("signature" in wrong.stderr, wrong.stderr)
    # Edited and hashed anew: whole in itself, but not what was signed.
    edited = json.loads(frozen)
    edited["estimates"]["behaviors"][0]["forecast"]["per_100k"] = 1
    signed.write_bytes(rehash(edited))
    verify(signed, "--logs", logs, "--dir", folder / "edited", expect=0)
    verify(signed, "--logs", logs, "--public-key", folder / "public.pem", expect=7)
    os.remove(f"{signed}.sig")
    verify(signed, "--logs", logs, "--public-key", folder / "public.pem", expect=7)
    (folder / "rsa.pem").write_text("not a key")
    program.understudy("forecast", study, "-o", folder / "x.json", "--key", folder / "rsa.pem",
                       expect=2)
    program.check(not (folder / "x.json").exists(), "a wrong key left a forecast behind")


def flips(folder, study, frozen):
    """One bit anywhere: exit 7, and the section is named."""
    numbers = random.Random(11)
    document = json.loads(frozen)
    changed = study / "changed.json"
    end = 0
    for key in sorted(document):
        size = len(canonical(document[key]))
        start = end + 1 + len(key) + 3
        end = start + size
        for _ in range(2):
            at = start + numbers.randrange(size)
            bad = bytearray(frozen)
            bad[at] ^= 1 << numbers.randrange(8)
            changed.write_bytes(bad)
            done = verify(changed, "--logs", folder / "new.jsonl", expect=7)
            named = "header" if key in HEADER else key
            program.check(named in done.stderr, f"byte {at} of {key}: {done.stderr}")


def graders(folder, study, forecast):
    ours = study / "ours.toml"
    whole = ours.read_bytes()
    logs = folder / "new.jsonl"
    for at in range(3, len(whole), 61):
        bad = bytearray(whole)
        bad[at] ^= 1 << (at % 8)
        ours.write_bytes(bad)
        done = verify(forecast, "--logs", logs, expect=7)
        program.check("behaviors" in done.stderr and "ours.toml" in done.stderr, done.stderr)
    ours.write_bytes(whole)
    # The forecast holds its graders: it can be verified where the study's file is gone.
    os.rename(ours, folder / "away.toml")
    verify(forecast, "--logs", logs)
    os.rename(folder / "away.toml", ours)
    extracted = pathlib.Path(f"{forecast}.verify") / "behaviors" / "refusal.toml"
    whole = extracted.read_bytes()
    extracted.write_bytes(whole.replace(b"version", b"Version", 1))
    verify(forecast, "--logs", logs, expect=7)
    extracted.write_bytes(whole)
    config = pathlib.Path(f"{forecast}.verify") / "study.toml"
    whole = config.read_bytes()
    config.write_bytes(whole.replace(b"[grade]\n", b"[grade]\nwindow_tokens = 3\n"))
    done = verify(forecast, "--logs", logs, expect=7)
    program.check("measurement" in done.stderr, done.stderr)
    config.write_bytes(whole)


def versions(folder, study, frozen):
    def edited(change):
        document = json.loads(frozen)
        change(document)
        path = study / "edited.json"
        path.write_bytes(rehash(document))
        return verify(path, "--logs", folder / "new.jsonl", expect=7).stderr

    def other_engine(document):
        document["measurement"]["rule_engine"] = "99.0.0"
        document["understudy_version"] = "42.0.0"

    said = edited(other_engine)
    program.check("99.0.0" in said and "install understudy 42.0.0" in said, said)

    def other_grader(document):
        built_in = next(b for b in document["behaviors"] if b["id"] == "refusal")
        built_in["source"] = built_in["source"].replace("version = ", "version = 9", 1)
        built_in["sha256"] = hashlib.sha256(built_in["source"].encode()).hexdigest()

    said = edited(other_grader)
    program.check("refusal" in said and "install understudy" in said, said)
    # Whole and hashed, but no forecast of ours.
    document = json.loads(frozen)
    document["measurement"] = {}
    path = study / "edited.json"
    path.write_bytes(rehash(document))
    verify(path, "--logs", folder / "new.jsonl", expect=3)


def overlaps(folder, study, old, new):
    forecast = folder / "elsewhere" / "forecast.json"
    forecast.parent.mkdir()
    program.understudy("forecast", study, "-o", forecast)
    leaked = folder / "leaked.jsonl"
    write_records(leaked, new[:570] + old[:30])
    done = verify(forecast, "--logs", leaked, "--json")
    overlap = json.loads(done.stdout)["overlap"]
    program.check(overlap["removed"] == 30 and overlap["share"] == 0.05, f"leak of 5%: {overlap}")
    counts = json.loads(done.stdout)["counts"]["conversations"]
    program.check(counts["excluded"]["overlaps_forecast"] == 30, str(counts))
    program.check(counts["eligible"] == 570 and counts["read"] == 600, str(counts))
    # The same ids with other words are other conversations.
    numbers = random.Random(5)
    namesakes = folder / "namesakes.jsonl"
    write_records(namesakes, [record(f"old-{i}", numbers) for i in range(100)])
    done = verify(forecast, "--logs", namesakes, "--json", "--dir", folder / "namesakes.verify")
    program.check(json.loads(done.stdout)["overlap"]["removed"] == 0, done.stdout)
    # The forecast's own logs are refused.
    done = verify(forecast, "--logs", folder / "old.jsonl", "--dir", folder / "own", expect=3)
    program.check("600 of 600" in done.stderr, done.stderr)
    # Without the study nobody can know, and that is said.
    os.remove(f"{forecast}.study")
    done = verify(forecast, "--logs", leaked, "--json", "--dir", folder / "blind")
    document = json.loads(done.stdout)
    program.check(document["overlap"]["checked"] is False, str(document["overlap"]))
    program.check(any(n["code"] == "overlap_unknown" for n in document["notes"]), "no note")


def other_inputs(folder, study, forecast):
    verify(forecast, expect=2)  # which traffic?
    verify(forecast, "--logs", folder / "nowhere.jsonl", "--dir", folder / "nowhere", expect=2)
    verify(folder / "nowhere.json", "--logs", folder / "new.jsonl", expect=2)
    verify(study / "report.json", "--logs", folder / "new.jsonl", expect=3)
    (folder / "broken.jsonl").write_text('{"id": 1}\n')
    verify(forecast, "--logs", folder / "broken.jsonl", "--dir", folder / "broken", expect=3)
    # No events at all: rates are bounded, errors unknown.
    numbers = random.Random(9)
    write_records(folder / "quiet.jsonl", [record(f"q{i}", numbers) for i in range(20)])
    done = verify(forecast, "--logs", folder / "quiet.jsonl", "--json", "--dir", folder / "quiet")
    document = json.loads(done.stdout)
    quiet = next(r for r in document["rows"] if r["behavior"] == "sycophantic_opening")
    program.check(quiet["covered"] and quiet["sme"] is None, str(quiet))
    # --study takes the logs of the next study.
    program.write_study(folder / "next", folder / "new.jsonl", candidate={"model": "vllm/later"})
    done = verify(forecast, "--study", folder / "next", "--json", "--dir", folder / "by-study")
    program.check(json.loads(done.stdout)["counts"]["conversations"]["eligible"] == 800, "--study")


def ledger(folder, study, forecast):
    """Verifying adds the release to a table that the next study's prior learns from."""
    history = folder / "releases.csv"
    for _ in range(2):  # a second time replaces
        verify(forecast, "--logs", folder / "new.jsonl", "--history", history)
    lines = history.read_text().splitlines()
    program.check(len(lines) == 1 + len(BEHAVIORS), str(lines))
    with (study / "study.toml").open("a") as file:
        file.write(f"[forecast]\nhistory = {json.dumps(str(history))}\n")
    done = program.understudy("forecast", study, "-o", folder / "with-history.json")
    program.check("too few past releases" in done.stdout, done.stdout)


def nonsense(folder, study, frozen):
    """Edited and hashed again with numbers that are none: an answer, and never a crash."""
    path = study / "edited.json"
    for key, value in [
        ("level", 1), ("level", 0), ("level", -3), ("level", "x"), ("hi", -1), ("hi", 1e9),
        ("lo", 99999), ("per_100k", -5), ("per_100k", "1"), ("n", -1), ("n", 1.5), ("k", {}),
    ]:
        for place in ("estimates", "baselines"):
            document = json.loads(frozen)
            if place == "estimates":
                rate = document["estimates"]["behaviors"][0]["forecast"]
            else:
                rate = document["baselines"][0]["persistence"]
            rate[key] = value
            path.write_bytes(rehash(document))
            done = verify(path, "--logs", folder / "new.jsonl", expect=0 if value == 1.5 else 3)
            shutil.rmtree(f"{path}.verify", ignore_errors=True)
            program.check(value == 1.5 or place in done.stderr, f"{key} {value}: {done.stderr}")


def forgotten(folder, study, frozen):
    """Conversations that their study no longer holds: their marks do."""
    here = folder / "forgetful"
    shutil.copytree(study, here)
    config = (here / "study.toml").read_text().split("[forecast]")[0]
    (here / "study.toml").write_text(config)
    with contextlib.closing(sqlite3.connect(here / "study.db")) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        rows = "SELECT id FROM conversation ORDER BY id LIMIT 50"
        database.execute(f"DELETE FROM conversation WHERE id IN ({rows})")
        database.commit()
    forecast = here / "forecast.json"
    program.check(forecast.read_bytes() == frozen, "the copy has another forecast")
    leaked = folder / "leaked.jsonl"
    done = verify(forecast, "--logs", leaked, "--json", "--dir", folder / "forgotten.verify")
    document = json.loads(done.stdout)
    overlap = document["overlap"]
    program.check(overlap["checked"] and overlap["forgotten"] == 50, str(overlap))
    program.check(overlap["removed"] == 30, f"who was forgotten is not recognized: {overlap}")
    program.check(any(n["code"] == "forgotten" for n in document["notes"]), str(document["notes"]))
    # Another study in the place of the one that made the forecast.
    other = folder / "another"
    shutil.copytree(folder / "next", other, dirs_exist_ok=True)
    shutil.copy(folder / "blind" / "study.db", other / "study.db")
    shutil.copy(forecast, other / "forecast.json")
    done = verify(other / "forecast.json", "--logs", leaked, "--json")
    overlap = json.loads(done.stdout)["overlap"]
    program.check(not overlap["checked"] and "another study" in overlap["reason"], str(overlap))


COMMAND = """
format = 1
id = "speaks_of_{0}"
title = "Says {0}"
group = "quality"
decided_by = "command"
version = 1
unit = "answer"
definition = "The answer speaks of it."
counts = ["The word"]
does_not_count = ["Others"]

[command]
argv = ["python3", "grader.py", "{0}"]
files = ["grader.py"]

[[example]]
name = "there"
user = "Where?"
answer = "The {0} is green."
expect = "present"

[[example]]
name = "elsewhere"
user = "Where?"
answer = "Nothing of it."
expect = "absent"
"""
GRADER = """import json, sys
for line in sys.stdin:
    question = json.loads(line)
    present = sys.argv[1] in question["answer"]["content"].lower()
    print(json.dumps({"id": question["id"], "verdict": "present" if present else "absent"}))
"""


def own_programs(folder):
    """Graders that are programs: the forecast holds them, and asks the new model again."""
    if not program.has_sandbox():
        print("no sandbox: graders that are programs are not tested")
        return
    with program.mock_server("--seed", "5") as server:
        study = program.write_study(
            folder / "programs",
            folder / "old.jsonl",
            sample={"prefixes": 40},
            candidate={"model": "vllm/next", "system": "You are \"next\"."},
            grade={"behaviors": ["a/garden.toml", "b/river.toml"]},
        )
        for place, word in (("a", "garden"), ("b", "river")):
            (study / place).mkdir()
            (study / place / f"{word}.toml").write_text(COMMAND.format(word))
            (study / place / "grader.py").write_text(GRADER + f"# of {place}\n")
        program.understudy("run", study, "--display", "none", server=server)
        program.understudy("forecast", study)
        forecast = study / "forecast.json"
        flags = ("--logs", folder / "new.jsonl")
        done = program.understudy(
            "verify", forecast, *flags, "--replay", "--json", "--display", "none", server=server
        )
        document = json.loads(done.stdout)
        draws = document["counts"]["draws"]["candidate"]
        program.check(draws["completed"] == 40, f"--replay asked the new model: {draws}")
        for row in document["rows"]:
            program.check(row["skipped"] is None and row["covered"] is not None, str(row))
        page = (study / "forecast.json.verify" / "report.html").read_text()
        program.check("Where the error comes from" in page and "<script" not in page, "no page")
        program.check("predictive interval" in (study / "forecast.html").read_text(), "no page")
        config = (study / "forecast.json.verify" / "study.toml").read_text()
        program.check('system = "You are \\"next\\"."' in config, f"another candidate: {config}")
        # One bit of a program, in the study and where verification keeps it.
        for place in (study / "a", study / "forecast.json.verify/behaviors/speaks_of_garden"):
            whole = (place / "grader.py").read_bytes()
            (place / "grader.py").write_bytes(whole.replace(b"present", b"Present", 1))
            done = verify(forecast, *flags, expect=7)
            program.check("behaviors" in done.stderr and "grader.py" in done.stderr, done.stderr)
            (place / "grader.py").write_bytes(whole)
        # Another forecast does not take the place of one that somebody may have published.
        before = forecast.read_bytes()
        with (study / "study.toml").open("a") as file:
            file.write("[forecast]\nshift_sd = 0.5\n")
        done = program.understudy("forecast", study)
        kept = study / f"forecast-{json.loads(before)['commitment'][:12]}.json"
        program.check(kept.read_bytes() == before and str(kept) in done.stdout, done.stdout)


with program.temporary_directory() as name:
    main(pathlib.Path(name))
