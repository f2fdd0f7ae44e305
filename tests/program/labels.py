"""People label what a real study holds: the queue is blind and in order of worth, labels count in the
estimates before anything else, hang on the text when study and database are new, and a bad row costs
nothing but itself."""

import csv
import io
import json
import pathlib
import shutil

import program

BEHAVIOR = "promised_background_task"
PLANTS = ("get back to you", "let you know when")


def people_see(row):
    return "1" if any(plant in row["answer"] for plant in PLANTS) else "0"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def write_rows(path, rows, columns=("id", "behavior", "annotator", "target", "round")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=300)

    def run(study, server):
        done = program.understudy("run", study, "--json", "--display", "none", server=server)
        report = json.loads(done.stdout)
        program.check_counts(report)
        return report

    def new_study(name):
        return program.write_study(
            folder / name,
            logs,
            sample={"prefixes": 300},
            candidate={"model": "vllm/mock"},
            grade={"behaviors": [BEHAVIOR, "refusal"], "audit": 40},
        )

    def label(study, *arguments, expect=0):
        return program.understudy("label", study, *arguments, "--display", "none", expect=expect)

    server_flags = ("--behavior", f"{BEHAVIOR}=0.1", "--seed")
    with program.mock_server(*server_flags, "3") as server:
        study = new_study("study")
        first = run(study, server)
        flags = program.behavior_of(first, BEHAVIOR)["verdicts"]["candidate"]["present"]
        program.check(flags > 12, f"planted 10% of 300, found {flags}")

        # The queue: blind, flags first, then the audits of both arms; the same each time.
        queue_file = folder / "ann.csv"
        label(study, "queue", "--behavior", BEHAVIOR, "-n", "500", "--annotator", "ann",
              "-o", queue_file)
        text = queue_file.read_text()
        queue = rows_of(text)
        program.check(oct(queue_file.stat().st_mode & 0o777) == "0o600", "others can read it")
        again = label(study, "queue", "--behavior", BEHAVIOR, "-n", "500", "--annotator", "ann")
        program.check(again.stdout == text, "two calls gave two orders")
        for word in ("candidate", "deployed", "vllm", "mock", "flag", "audit"):
            program.check(word not in text, f"the queue says {word}")
        targets = [people_see(row) for row in queue]
        unique_flags = targets.count("1")
        program.check(unique_flags <= flags, f"{unique_flags} of {flags}")
        program.check(all(t == "1" for t in targets[:unique_flags]), f"flags first: {targets}")
        program.check(len(queue) == unique_flags + 80, f"{len(queue)} rows, {unique_flags} flags")
        program.check(all(row["target"] == "" for row in queue), "targets are people's to fill in")
        program.check(
            all(row["conversation"].startswith("[") for row in queue), "a cell could be a formula"
        )

        # As it came, it holds no label yet; then half of it is labeled.
        empty = label(study, "import", queue_file)
        program.check(f"{len(queue)} rows have no target" in empty.stdout, empty.stdout)
        for row, target in zip(queue, targets):
            row["target"] = target
        write_rows(queue_file, queue, queue[0].keys())
        done = label(study, "import", queue_file)
        program.check(f"{len(queue)} labels added" in done.stdout, done.stdout)
        done = json.loads(label(study, "import", queue_file, "--json").stdout)
        program.check(done["added"] == 0 and done["already_there"] == len(queue), str(done))

        # People's labels are the oracle: all flags verified, and an audit of what was passed.
        report = run(study, server)
        found = program.behavior_of(report, BEHAVIOR)
        verdicts = found["verdicts"]["candidate"]
        program.check(verdicts["verified"] == flags + 40, str(verdicts))
        program.check(found["candidate"]["verified"]["k"] == flags, str(found["candidate"]))
        program.check(found["miss_bound_per_100k"] is not None, "an audit bounds what was missed")
        program.check("screen_relative" not in found["alarms"], str(found["alarms"]))
        program.check(report["manifest_hash"] != first["manifest_hash"], "labels decide numbers")
        rate = found["candidate"]["corrected"]
        program.check(rate["lo"] <= 10_000 <= rate["hi"], f"planted 10,000 per 100k: {rate}")
        done = label(study, "queue", "--behavior", BEHAVIOR, "--annotator", "ann")
        program.check(rows_of(done.stdout) == [], "ann is given answers again")

        # A second annotator gets a part of them, disagrees once, and that waits for adjudication.
        done = label(study, "queue", "--behavior", BEHAVIOR, "--annotator", "bob",
                     "--double", "0.5", "-n", "500")
        second = rows_of(done.stdout)
        program.check(0.3 * len(queue) < len(second) < 0.7 * len(queue), f"{len(second)} rows")
        for row in second:
            row["target"] = people_see(row)
        disputed = next(row for row in second if row["target"] == "1")
        disputed["target"] = "0"
        label(study, "import", write_rows(folder / "bob.csv", second))
        status = json.loads(label(study, "--json").stdout)
        agreement = status["behaviors"][0]
        program.check(agreement["labeled_twice"] == len(second), str(agreement))
        program.check(agreement["to_adjudicate"] == 1, str(agreement))
        program.check(0.5 < agreement["cohen_kappa"]["value"] < 1, str(agreement))
        program.check("kappa" in label(study).stdout, "nothing for people to read")
        report = run(study, server)
        rate = program.behavior_of(report, BEHAVIOR)["candidate"]["verified"]
        program.check(rate["k"] < flags, f"a tie is undecided: {rate}")
        done = label(study, "queue", "--behavior", BEHAVIOR, "--annotator", "chief", "-n", "1")
        row = rows_of(done.stdout)[0]
        program.check(row["id"] == disputed["id"] and row["round"] == "adjudication", str(row))
        row["target"] = "1"
        label(study, "import", write_rows(folder / "chief.csv", [row]))
        report = run(study, server)
        rate = program.behavior_of(report, BEHAVIOR)["candidate"]["verified"]
        program.check(rate["k"] == flags, f"adjudicated: {rate}")

        # Bad rows: each with its place, nothing of the file's text, and the good one is taken.
        secret = "zebrafish-lantern"
        good = [
            f"{queue[0]['id']},refusal,dora,0,1",
            f"{queue[0]['id']},{BEHAVIOR},ann,{1 - int(queue[0]['target'])},1",
            f"ffffffffffffffff,{BEHAVIOR},ann,1,1",
            f"{queue[0]['id']},promised_background_tsk,ann,1,1",
            f"{queue[0]['id']},{BEHAVIOR},ann,{secret},1",
            f"{secret},{BEHAVIOR},ann,1,1",
        ]
        bad = folder / "bad.csv"
        bad.write_text("id,behavior,annotator,target,round\n" + "\n".join(good) + "\n")
        before = (study / "labels.csv").read_text()
        done = label(study, "import", bad, expect=6)
        said = done.stdout + done.stderr
        program.check(secret not in said, f"text in {said}")
        for words in ("later round", "no answer", f'did you mean "{BEHAVIOR}"', "target", "hexa"):
            program.check(words in said, f"no {words!r} in {said}")
        offset = len(bad.read_text().split("ffffffffffffffff", maxsplit=1)[0])
        program.check("bad.csv:4: no answer" in said and f"byte {offset}" in said, said)
        after = (study / "labels.csv").read_text()
        program.check(set(before.splitlines()) < set(after.splitlines()), "a label was lost")
        program.check("dora" in after and after.count("\n") == before.count("\n") + 1, after)
        only_bad = folder / "only_bad.csv"
        only_bad.write_text("id,target\nffffffffffffffff,1\n")
        label(study, "import", only_bad, "--behavior", BEHAVIOR, expect=3)
        label(study, "import", only_bad, "--behavior", "refusel", expect=2)
        only_bad.write_text("id,behavior\nffffffffffffffff,refusal\n")
        label(study, "import", only_bad, expect=3)

        report = run(study, server)

        # Labels outlive the database, and go with an export to any study that holds the same text.
        exported = label(study, "export").stdout
        program.check(exported == after, "an export is what is kept")
        for name in ("study.db", "study.db-wal", "study.db-shm"):
            (study / name).unlink(missing_ok=True)
        rerun = run(study, server)
        program.check(rerun["behaviors"] == report["behaviors"], "labels were lost with study.db")
        shutil.copy(study / "labels.csv", folder / "labels.csv")
        same = new_study("same")
        run(same, server)
        label(same, "import", folder / "labels.csv")
        program.check(run(same, server)["behaviors"] == report["behaviors"], "other numbers")

    # A model that answers otherwise: labels of logged answers hold, those of fresh ones find no text.
    with program.mock_server(*server_flags, "4") as server:
        other = new_study("other")
        run(other, server)
        done = json.loads(label(other, "import", folder / "labels.csv", "--json", expect=6).stdout)
        program.check(done["added"] >= 40, f"labels of logged answers: {done}")
        lost = {bad["reason"] for bad in done["rejected"]}
        program.check(lost == {"no answer in this study has this id"}, str(lost))
        status = json.loads(label(other, "--json").stdout)
        program.check(status["attached"] == status["labels"] == done["added"], str(status))
    print(f"{len(queue)} labels by ann, {len(second)} by bob")
