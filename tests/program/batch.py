"""Replay through batch files, the program gone in between: the same report, byte for byte, and the
same draws as live replay of the same answers; whatever the order, number and damage of the files.
Then the same through the Batch API of the mock server, and with a budget."""

import json
import pathlib
import random
import sqlite3
import stat
import urllib.request

import program

DRAWS = 400
SECRET_KEY = "sk-very-secret-key"

numbers = random.Random(5)


def draws_of(study):
    """What the table of draws holds, packed and compressed as it is."""
    with sqlite3.connect(study / "study.db") as database:
        return database.execute("SELECT * FROM draw ORDER BY key").fetchall()


def ask(server, line):
    """The server's answer to one line of a batch file, as a line of an output file."""
    request = json.loads(line)
    body = urllib.request.Request(
        server.url.removesuffix("/v1") + request["url"],
        json.dumps(request["body"]).encode(),
        {"Content-Type": "application/json"},
        method=request["method"],
    )
    with urllib.request.urlopen(body, timeout=10) as answer:
        response = {"status_code": answer.status, "request_id": "r", "body": json.load(answer)}
    return {"id": "b", "custom_id": request["custom_id"], "response": response, "error": None}


def expired(line):
    custom_id = json.loads(line)["custom_id"]
    error = {"code": "batch_expired", "message": "zebrafish"}
    return {"id": "b", "custom_id": custom_id, "response": None, "error": error}


def status(study, server, *flags):
    return json.loads(program.understudy("batch", *flags, "--json", server=server).stdout)


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


with program.temporary_directory() as folder, program.mock_server(
    "--behavior", "refusal=0.1", "--behavior", "repetition_loop=0.05", "--seed", "3"
) as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=DRAWS // 2)

    def study_in(name, **budget):
        sections = {
            "sample": {"prefixes": DRAWS // 2, "draws": 2},
            "candidate": {"model": "vllm/mock", "max_tokens": 20},
            "deployed": {"model": "vllm/other"},
        }
        if budget:
            sections["budget"] = budget
        # The same name, since it stands in the report.
        return program.write_study(folder / name / "study", logs, **sections)

    def same_as_live(study):
        for name in ("report.json", "report.html"):
            same = (live / name).read_bytes() == (study / name).read_bytes()
            program.check(same, f"{study}: {name} differs")
        program.check(draws_of(live) == draws_of(study), f"{study}: draws differ")

    live = study_in("live")
    program.understudy("run", live, "--display", "none", server=server)

    # ---- files alone: submit, and the program is gone ----
    batch = study_in("batch")
    told = status(batch, server, "submit", batch)
    paths = [pathlib.Path(path) for path in told["written"]]
    program.check(len(paths) == 2, f"one file for each arm: {told}")
    for path in paths:
        program.check(stat.S_IMODE(path.stat().st_mode) == 0o600, f"{path} is open to others")
        program.check(stat.S_IMODE(path.parent.stat().st_mode) == 0o700, f"{path.parent} is open")
    requests = [line for path in paths for line in path.read_text().splitlines()]
    program.check(len(requests) == 2 * DRAWS, f"{len(requests)} requests")
    again = status(batch, server, "submit", batch)
    program.check(again["written"] == [], f"asked twice: {again}")
    waiting = program.understudy("run", batch, server=server, expect=5)
    program.check("batch collect" in waiting.stderr, waiting.stderr)

    # ---- collect: shuffled, partial, with errors, duplicates, strangers and a cut last line ----
    numbers.shuffle(requests)
    answers = [ask(server, line) for line in requests]
    late, lost, rest = answers[:20], answers[20:50], answers[50:]
    strange = [dict(rest[0], custom_id="0123cdef-7-0"), dict(rest[0], custom_id="theirs"), {"a": 1}]
    first = write(folder / "first.jsonl", rest[:200] + strange + rest[:5])
    cut = json.dumps(rest[200]).encode()[:-30]
    with open(first, "ab") as file:
        file.write(cut)
    told = status(batch, server, "collect", batch, first)
    program.check(told["collected"]["stored"] == 200, told)
    program.check(told["collected"]["duplicates"] == 5, told)
    program.check(
        told["collected"]["rejected"] == {"unknown_custom_id": 3, "truncated": 1}, told
    )
    rejects = (batch / "batch" / "rejects.jsonl").read_text()
    last = json.loads(rejects.splitlines()[-1])
    program.check(
        last["line"] == 209 and last["byte_offset"] == first.stat().st_size - len(cut), rejects
    )
    program.check("zebrafish" not in rejects and "content" not in rejects, rejects)

    # What expired is open again, what is in no file is waited for.
    second = write(folder / "second.jsonl", rest[180:])
    errors = write(folder / "errors.jsonl", [expired(line) for line in requests[20:50]])
    told = status(batch, server, "collect", batch, errors, second)
    arms = told["draws"].values()
    program.check(told["collected"]["ask_again"] == 30, told)
    program.check(sum(arm["out"] for arm in arms) == 20, told)
    program.check(sum(arm["open"] for arm in arms) == 30, told)
    program.check(status(batch, server, "status", batch)["draws"] == told["draws"], told)
    program.understudy("batch", "collect", batch, folder / "first.jsonl", server=server)

    # The rest by a second batch and live; what was late comes after all.
    told = status(batch, server, "submit", batch, "--out", folder / "elsewhere")
    open_again = [
        line for path in told["written"] for line in pathlib.Path(path).read_text().splitlines()
    ]
    program.check(sorted(open_again) == sorted(requests[20:50]), "the same requests again")
    third = write(folder / "third.jsonl", [ask(server, line) for line in open_again[:10]])
    program.understudy("batch", "collect", batch, third, "--rest", "open", server=server)
    program.understudy(
        "batch", "collect", batch, write(folder / "late.jsonl", late), server=server
    )
    before = server.stats()["requests"]
    program.understudy("run", batch, "--display", "none", server=server)
    program.check(server.stats()["requests"] - before == 20, "only what was left was asked")
    same_as_live(batch)
    program.understudy("batch", "collect", batch, first, second, third, server=server)
    same_as_live(batch)

    # Nothing of use in a file is exit code 3, a wrong name 2; nothing is stored.
    program.understudy(
        "batch", "collect", batch, write(folder / "s.jsonl", strange), server=server, expect=3
    )
    program.understudy("batch", "collect", batch, folder / "no.jsonl", server=server, expect=2)
    program.understudy("batch", "submti", batch, expect=2)
    program.understudy("batch", "--help")

    # Settings that changed while answers were out: said, and not mixed.
    changed = study_in("changed")
    status(changed, server, "submit", changed)
    said = program.understudy("run", changed, "--temperature", "1", server=server, expect=2)
    program.check("put [candidate]" in said.stderr, said.stderr)
    program.understudy("batch", "submit", changed, "--temperature", "1", server=server, expect=2)
    again = ("--temperature", "1", "--json")
    program.understudy("batch", "collect", changed, "--rest", "open", *again, server=server)
    told = json.loads(program.understudy("batch", "submit", changed, *again, server=server).stdout)
    program.check(len(told["written"]) == 2, f"all that was given up is asked again: {told}")

    # Given up: what has no answer has failed, and the report can be made without a server.
    failed = study_in("failed")
    told = status(failed, server, "submit", failed)
    requests = [
        line for path in told["written"] for line in pathlib.Path(path).read_text().splitlines()
    ]
    answered = write(folder / "part.jsonl", [ask(server, line) for line in requests[:-10]])
    program.understudy("batch", "collect", failed, answered, "--rest", "failed", server=server)
    program.understudy("run", failed, "--display", "none", expect=6)
    report = json.loads((failed / "report.json").read_text())
    program.check_counts(report)
    counts = report["counts"]["draws"]["deployed_replay"]
    program.check(counts["failed"] == {"timeout": 10}, counts)

    # They come after all: an answer goes before a failure, on request.
    late = write(folder / "very_late.jsonl", [ask(server, line) for line in requests[-10:]])
    told = status(failed, server, "collect", failed, late)
    program.check(told["collected"]["stored"] == 0, told)
    told = status(failed, server, "collect", failed, late, "--retry-errors")
    program.check(told["collected"]["stored"] == 10, told)
    program.understudy("run", failed, "--display", "none")
    same_as_live(failed)

    # ---- the provider's Batch API ----
    def environment(**more):
        return program.environment(server, VLLM_API_KEY=SECRET_KEY, **more)

    def call(study, *arguments, expect=0):
        done = program.understudy(*arguments, expect=expect, env=environment())
        program.check(SECRET_KEY not in done.stdout + done.stderr, "the key is in the output")
        return json.loads(done.stdout) if "--json" in arguments else done

    remote = study_in("remote")
    told = call(remote, "batch", "submit", remote, "--upload", "--json")
    program.check(len(told["uploaded"]) == 2, told)
    program.check(all(file["state"] == "uploaded" for file in told["files"]), told)
    told = call(remote, "batch", "submit", remote, "--upload", "--json")
    program.check(told["uploaded"] == [], f"uploaded twice: {told}")
    told = call(remote, "batch", "status", remote, "--json")
    program.check(told["files"][0]["remote_status"] == "in_progress", told)
    told = call(remote, "batch", "collect", remote, "--json")
    program.check(told["collected"]["stored"] == 2 * DRAWS, told)
    program.check(all(file["state"] == "closed" for file in told["files"]), told)
    call(remote, "run", remote, "--display", "none")
    same_as_live(remote)
    for path in remote.rglob("*"):
        if path.is_file():
            program.check(SECRET_KEY.encode() not in path.read_bytes(), f"the key is in {path}")

    # A budget holds the rest back: a pilot first, then as many as it pays for.
    frugal = study_in("frugal", tokens=20_000)
    told = call(frugal, "batch", "submit", frugal, "--upload", "--json", expect=5)
    program.check(told["draws"]["candidate"]["out"] == 200, told)
    call(frugal, "batch", "status", frugal)
    call(frugal, "batch", "collect", frugal)
    told = call(frugal, "batch", "submit", frugal, "--upload", "--json", expect=5)
    used = sum(file["requests"] for file in told["files"] if file["arm"] == "candidate")
    program.check(200 <= used < DRAWS, f"{used} requests within the budget")
