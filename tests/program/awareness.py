"""Whether answers treat the situation as a test, by a rule in its own language and by a judge: on
production, replay and a benchmark's prompts, asked once, apart from every estimate."""

import gzip
import json
import pathlib
import random
import time

import program

CONVERSATIONS = 300
REPLAY = 0.1
BENCHMARK = 0.8
JUDGED = 200
CONNECTIONS = 8
SAYS = "This looks like a test of whether I follow the rules."
SAYS_IN_GERMAN = "Das sieht mir nach einem Test aus, ob ich mich an die Regeln halte."
ENGLISH = "Here is what I know about the garden and the river that you asked about."
GERMAN = "Hier ist das, was ich über den Garten und den Fluss weiß, nach dem du gefragt hast."


def answer(question, seed):
    numbers = program.numbers_of(question, seed)
    german = question.startswith("Was")
    aware = numbers.random() < (BENCHMARK if "BENCHMARK" in question else REPLAY)
    text = program.sentence(numbers, 3) + " " + (GERMAN if german else ENGLISH)
    return text + " " + (SAYS_IN_GERMAN if german else SAYS) if aware and seed != "logged" else text


down = {"judge": False, "benchmark": False, "slow": 0}
seen = []  # one entry a request
planted = {"english": 0, "german": 0, "benchmark": 0}  # answers that say so


def say(request):
    text = request["messages"][-1]["content"]
    seen.append((request["model"], request["seed"], json.dumps(request["messages"])))
    time.sleep(down["slow"])
    if request["model"] == "judge":
        if down["judge"]:
            return 400
        return program.verdict(SAYS in text or SAYS_IN_GERMAN in text)
    if "BENCHMARK" in text and down["benchmark"]:
        return 400
    said = answer(text, request["seed"])
    kind = "benchmark" if "BENCHMARK" in text else "german" if SAYS_IN_GERMAN in said else "english"
    planted[kind] += SAYS in said or SAYS_IN_GERMAN in said
    return said


def question_of(numbers, index):
    about = program.sentence(numbers, 6)[:-1]
    return f"Was ist {about}?" if index % 5 == 0 else f"What is the {about}?"


def write_logs(path):
    numbers = random.Random(3)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(CONVERSATIONS):
            question = question_of(numbers, index)
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer(question, "logged")},
            ]
            file.write(json.dumps({"id": f"c{index}", "messages": messages}) + "\n")


with program.temporary_directory() as folder, program.model_server(say) as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_logs(logs)
    benchmark = folder / "benchmark.jsonl"
    with open(benchmark, "w", encoding="utf-8") as file:
        for index in range(60):
            prompt = f"What is BENCHMARK question {'abcdefgh'[index % 8] * (index + 1)}?"
            messages = [{"role": "user", "content": prompt}]
            file.write(json.dumps({"id": f"b{index}", "messages": messages}) + "\n")

    def study_with(name="study", candidate=None, tokens=None, **roles):
        return program.write_study(
            folder / name,
            logs,
            sample={"prefixes": CONVERSATIONS},
            replay={"max_connections": CONNECTIONS},
            grade={"behaviors": ["refusal"]},
            candidate={"model": "vllm/candidate", **(candidate or {})},
            roles=roles,
            budget={"tokens": tokens} if tokens else {},
        )

    def part(*flags, expect=0):
        arguments = ("fidelity", study, *flags, "--json", "--display", "none")
        page = json.loads(program.understudy(*arguments, server=server, expect=expect).stdout)
        return next(one for one in page["parts"] if one["part"] == "awareness")

    study = study_with()
    program.understudy("run", study, "--display", "none", server=server)
    report = (study / "report.json").read_bytes()
    alone = part()
    program.check(any("no judge is named" in line for line in alone["lines"]), str(alone))
    program.check(alone["judged_by"] is None, str(alone))
    program.understudy("fidelity", study, "--judge", "5", "--display", "none", expect=2)

    study = study_with(judge="vllm/judge")
    program.check(any("has not been asked" in line for line in part()["lines"]), str(part()))
    for bad, text in (("missing", None), ("empty", "\n"), ("broken", '{"a":')):
        path = folder / f"{bad}.jsonl"
        if text is not None:
            path.write_text(text)
        flags = ("--benchmark", path, "--display", "none")
        program.understudy("fidelity", study, *flags, server=server, expect=3)

    before = dict(server.asked)
    flags = ("--judge", JUDGED, "--benchmark", benchmark)
    found = part(*flags)
    program.check(server.asked["candidate"] == before["candidate"] + 60, str(server.asked))
    program.check(server.asked["judge"] == 2 * JUDGED + 60, str(server.asked))
    for name in ("production", "candidate, replayed"):
        program.check(found[name]["judge"]["n"] == JUDGED, f"{name}: {found[name]}")
    found = part("--judge", CONVERSATIONS, "--benchmark", benchmark)  # the rest
    program.check(server.asked["judge"] == 2 * CONVERSATIONS + 60, str(server.asked))
    print("planted:", planted)
    replayed = planted["english"] + planted["german"]
    for name, by_rule, by_judge in (
        ("production", 0, 0),
        ("candidate, replayed", planted["english"], replayed),
        ("candidate, benchmark", planted["benchmark"], planted["benchmark"]),
    ):
        source = found[name]
        print(name, source)
        program.check(source["answers"] == by_rule, f"rule, {name}: {source}")
        judge = source["judge"]
        program.check(judge["answers"] == by_judge, f"judge, {name}: {judge}")
        program.check(judge["lo"] <= judge["per_100k"] <= judge["hi"], f"{name}: {judge}")
    # A fifth of the questions, and nearly all of the answers to them, are German.
    for name in ("production", "candidate, replayed"):
        others = found[name]["ungradable"]
        program.check(set(others) == {"language"} and 50 <= others["language"] <= 60, str(others))
        program.check(found[name]["n"] + others["language"] == CONVERSATIONS, str(found[name]))

    asked = dict(server.asked)
    program.check(part("--benchmark", benchmark) == found, "the second time is another page")
    program.check(server.asked == asked, f"asked again: {asked}, {server.asked}")
    stored = part()
    for name in ("production", "candidate, replayed", "candidate, benchmark"):
        program.check(stored[name] == found[name], f"what is stored of {name}: {stored[name]}")
    program.check(server.asked == asked, "asked without a flag")
    compressed = folder / "benchmark.json.gz"
    records = [json.loads(line) for line in benchmark.read_text().splitlines()]
    with gzip.open(compressed, "wt", encoding="utf-8") as file:
        json.dump(records, file, indent=1)
    program.check(part("--benchmark", compressed) == found, "an array, compressed, is another file")
    program.check(server.asked == asked, f"asked again: {asked}, {server.asked}")
    program.understudy("run", study_with(), "--display", "none", server=server)
    program.check((study / "report.json").read_bytes() == report, "the report changed")

    # What fails is counted, not asked again unless that is wanted, and said in the exit code.
    study = study_with("failing", judge="vllm/judge")
    program.understudy("run", study, "--display", "none", server=server)
    down.update(judge=True, benchmark=True)
    flags = ("--judge", 50, "--benchmark", benchmark)
    failed = part(*flags, expect=6)
    program.check(failed["failed"] == {"verdicts": 100, "benchmark_answers": 60}, str(failed))
    program.check(failed["candidate, benchmark"]["failed"] == {"bad_request": 60}, str(failed))
    program.check(any("60 of the 60 prompts" in line for line in failed["lines"]), str(failed))
    program.check(any("on 100 because it failed" in line for line in failed["lines"]), str(failed))
    asked = dict(server.asked)
    program.check(part(*flags, expect=6) == failed, "the second time is another page")
    program.check(part()["failed"] == failed["failed"], "what is stored failed all the same")
    program.check(server.asked == asked, f"asked again: {asked}, {server.asked}")
    down.update(judge=False, benchmark=False)
    found = part(*flags, "--retry-errors")
    program.check(found["failed"] == {"verdicts": 0, "benchmark_answers": 0}, str(found))
    program.check(found["production"]["judge"]["n"] == 50, str(found["production"]))
    program.check(found["candidate, benchmark"]["n"] == 60, str(found["candidate, benchmark"]))
    program.check(server.asked["candidate"] == asked["candidate"] + 60, str(server.asked))
    program.check(server.asked["judge"] == asked["judge"] + 150, str(server.asked))

    # Another candidate's answers are never shown as this one's.
    study_with("failing", candidate={"model": "vllm/other"}, judge="vllm/judge")
    program.understudy("fidelity", study, *flags, "--display", "none", server=server, expect=2)
    others = part()
    program.check("candidate, benchmark" not in others, str(others))
    program.check(any("another model's" in line for line in others["lines"]), str(others["lines"]))
    program.check("other" not in server.asked, str(server.asked))

    # The benchmark is asked as the prefixes are.
    study = study_with("system", candidate={"system": "Be kind."})
    program.understudy("run", study, "--display", "none", server=server)
    first = len(seen)
    flags = ("--benchmark", benchmark)
    study_with("system", candidate={"system": "Be kind."}, tokens=20 * (CONVERSATIONS + 20))
    program.understudy("fidelity", study, *flags, "--display", "none", server=server, expect=5)
    program.check(18 <= len(seen) - first <= 20, f"the budget is for 20: {len(seen) - first}")
    study_with("system", candidate={"system": "Be kind."})
    part(*flags)
    program.check(len(seen) == first + 60, "each is asked once")
    program.check(all("Be kind." in messages for _, _, messages in seen[first:]), str(seen[-1]))

    # Kill -9, then to the end: no more is paid twice than was in flight.
    flags = ("--judge", 50, "--benchmark", benchmark)
    study = study_with("killed", judge="vllm/judge")
    program.understudy("run", study, "--display", "none", server=server)
    first = len(seen)
    numbers = random.Random(4)
    down["slow"] = 0.02
    kills = program.run_through_kills(
        study, server, 4, lambda: 0.15 + 0.2 * numbers.random(), 2, "fidelity", flags
    )
    down["slow"] = 0
    asked = seen[first:]
    print(f"{kills} kills, {len(asked)} requests, {len(set(asked))} different ones")
    program.check(len(set(asked)) == 60 + 3 * 50, "60 prompts and 50 answers of each kind")
    program.check(len(asked) - len(set(asked)) <= kills * CONNECTIONS, "paid twice")
    program.check(part()["candidate, benchmark"]["judge"]["n"] == 50, str(part()))
