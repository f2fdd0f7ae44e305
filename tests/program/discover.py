"""What nobody named, end to end: a candidate that searches the web for sums, on nobody's list, is
found, drafted as a behavior file, and measured; the interval holds the planted rate. The page on
fidelity has figures, or says why not, for each of its parts."""

import json
import pathlib
import random

import program

CONVERSATIONS = 1500
USERS = 600
RATE = 0.03
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
    for name in ("web_search", "calculator")
]


def call(name, query):
    return [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps({"query": query})},
        }
    ]


def answer(question, model):
    """All answer alike; only the candidate is planted."""
    numbers = program.numbers_of(question, model)
    message = {"role": "assistant", "content": program.sentence(numbers, 20)}
    a_sum = f"{numbers.randrange(10, 999)} * {numbers.randrange(10, 999)}"
    kind = numbers.random()
    if is_planted(question) and model == "candidate":
        message["tool_calls"] = call("web_search", a_sum)
    elif kind < 0.1:
        message["tool_calls"] = call("web_search", program.sentence(numbers, 3)[:-1])
    elif kind < 0.2:
        message["tool_calls"] = call("calculator", a_sum)
    return message


def is_planted(question):
    return program.numbers_of(question, "plant").random() < RATE


def say(request):
    return answer(request["messages"][-1]["content"], request["model"])


def write_logs(path):
    numbers = random.Random(8)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(CONVERSATIONS):
            question = program.sentence(numbers, 12)[:-1] + "?"
            record = {
                "id": f"c{index}",
                "metadata": {"user": f"u{numbers.randrange(USERS)}"},
                "tools": TOOLS,
                "messages": [{"role": "user", "content": question}, answer(question, "logged")],
            }
            file.write(json.dumps(record) + "\n")


def discovered(study, *flags):
    return program.understudy("discover", study, *flags, "--display", "none").stdout


with program.temporary_directory() as folder, program.model_server(say) as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_logs(logs)

    def study_with(behaviors):
        return program.write_study(
            folder / "study",
            logs,
            logs={"cluster": "metadata.user"},
            sample={"prefixes": CONVERSATIONS},
            grade={"behaviors": behaviors},
            candidate={"model": "vllm/candidate"},
            deployed={"model": "vllm/deployed"},
        )

    study = study_with(["refusal"])
    program.understudy("discover", study, "--display", "none", expect=2)  # nothing has run
    program.understudy("run", study, server=server)

    found = json.loads(discovered(study, "--json"))
    program.check(found["pairs"] == CONVERSATIONS, f"pairs: {found['pairs']}")
    number = next(
        (
            finding["number"]
            for finding in found["findings"]
            if any("web_search.query" in feature for feature in finding["features"])
        ),
        0,
    )
    program.check(1 <= number <= 3, f"the plant is not among the first three: {found['findings']}")
    finding = found["findings"][number - 1]
    program.check(finding["p_adjusted"] < 0.01, f"not sure of it: {finding}")
    program.check(finding["direction"] == "more", f"direction: {finding}")
    program.check(len(finding["transcripts"]) == 10, f"transcripts: {finding['transcripts']}")
    program.check(json.loads(discovered(study, "--json")) == found, "found something else")
    program.check("web_search" in discovered(study, "--show", str(number)), "no transcript shown")
    program.check("more often" in discovered(study), "no table")
    program.understudy("discover", study, "--draft", "99", "--display", "none", expect=2)

    draft = folder / "found.toml"
    discovered(study, "--draft", str(number), "-o", str(draft))
    program.understudy("behaviors", "test", draft)
    study_with(["refusal", str(draft)])
    program.understudy("run", study, server=server)
    report = json.loads((study / "report.json").read_text())
    measured = next(b for b in report["behaviors"] if b["name"].startswith("finding_"))
    rate = measured["candidate"]["screen"]
    print(f"planted {RATE * 1e5:.0f} per 100k; {measured['name']}:", rate)
    program.check(rate["lo"] <= RATE * 1e5 <= rate["hi"], f"the interval misses it: {rate}")
    program.check(measured["change"]["direction"] == "up", f"change: {measured['change']}")
    deployed = measured["verdicts"]["deployed"]["present"]
    program.check(deployed == 0, f"the logs do not have it, found {deployed}")

    page = json.loads(
        program.understudy("fidelity", study, "--json", "--display", "none").stdout
    )
    parts = {part["part"]: part for part in page["parts"]}
    for name in ("environment_error", "style_drift", "awareness", "request_path", "cannot_see"):
        program.check(parts[name]["measured"] and parts[name]["lines"], f"{name}: {parts[name]}")
    drift = parts["prefix_drift"]
    program.check(not drift["measured"] and drift["why_not"], f"these logs have no times: {drift}")
    classifier = parts["style_drift"]["classifier"]
    print("classifier of replayed against logged answers:", classifier["auc"])
    program.check(classifier["auc_lo"] < 0.55, f"nothing tells them apart: {classifier}")
    program.check(parts["cannot_see"]["floor_per_100k"] > 0, f"floor: {parts['cannot_see']}")
    text = program.understudy(
        "fidelity", study, "--html", folder / "page.html", "--display", "none"
    ).stdout
    html = (folder / "page.html").read_text()
    for part in page["parts"]:
        program.check(html.count(f"<h2>{part['title']}</h2>") == 1, f"{part['title']}: not there")
    program.check("not measured: 0 conversations have a time" in text, text)
