"""Whether the replay is real, in worlds whose answer is known: the deployed model is what wrote the
logs, so no rate may differ, whatever the design and however much one user writes. What is sent in
place of what is counted, and drift of what users write is seen where there is any and where one can
see it."""

import json
import pathlib
import random

import program


def parts_of(study):
    page = json.loads(program.understudy("fidelity", study, "--json", "--display", "none").stdout)
    return {part["part"]: part for part in page["parts"]}


def ask_of(numbers):
    return program.sentence(numbers, 8)[:-1] + "?"


def write(path, records):
    with open(path, "w", encoding="utf-8") as file:
        for index, record in enumerate(records):
            file.write(json.dumps({"id": f"c{index}", **record}) + "\n")


def turn(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


# One law for logs and models: kitchens are refused.
def answer(question, seed):
    numbers = program.numbers_of(question, seed)
    text = program.sentence(numbers, 12)
    if numbers.random() < (0.3 if "Kitchen" in question else 0.005):
        text = "I'm sorry, but I can't help with that. " + text
    return text


def say(request):
    return answer(request["messages"][-1]["content"], (request["model"], request["seed"]))


def risky(numbers, conversations, user):
    for index in range(conversations):
        question = ask_of(numbers).replace("itchen", "lanet")
        if numbers.random() < 0.05:
            question = "Kitchen " + question
        messages = turn(question, answer(question, ("log", index)))
        yield {"metadata": {"user": user(index)}, "messages": messages}


def environment_error(folder, server):
    numbers = random.Random(1)
    write(folder / "risk.jsonl", risky(numbers, 4000, lambda index: f"u{index % 2000}"))
    study = program.write_study(
        folder / "risk",
        folder / "risk.jsonl",
        logs={"cluster": "metadata.user"},
        sample={"prefixes": 1000, "design": "risk"},
        grade={"behaviors": ["refusal", "repetition_loop"]},
        candidate={"model": "vllm/candidate"},
        deployed={"model": "vllm/deployed"},
    )
    program.understudy("run", study, "--display", "none", server=server)
    report = json.loads((study / "report.json").read_text())
    part = parts_of(study)["environment_error"]
    rows = {row["behavior"]: row for row in part["behaviors"]}
    row = rows["refusal"]
    print("risk design, the same model:", row)
    refusal = program.behavior_of(report, "refusal")
    for ours, arm in (("replayed_per_100k", "deployed_replay"), ("logged_per_100k", "deployed")):
        theirs = refusal[arm]["screen"]["per_100k"]
        program.check(abs(row[ours] - theirs) < 0.01, f"the report has {theirs}: {row}")
    program.check(row["ratio_lo"] < 1 < row["ratio_hi"], f"the model is the same: {row}")
    program.check(1 / 1.5 < row["ratio"] < 1.5, f"the model is the same: {row}")
    program.check(rows["repetition_loop"]["ratio"] is None, f"nobody does it: {rows}")
    program.check(part["occur_on_neither"] == 1 and part["occur_on_one_side"] == 0, str(part))
    seen = parts_of(study)["cannot_see"]
    draws = seen["candidate_answers"]
    print("floor:", draws, seen["floor_per_100k"])
    program.check(0 < draws["effective"] < draws["completed"], f"weighted draws: {seen}")
    quiet = program.behavior_of(report, "repetition_loop")["candidate"]["screen"]["hi"]
    # The report's is two-sided.
    program.check(0.75 * quiet < seen["floor_per_100k"] < quiet, f"report {quiet}: {seen}")


def of_users(folder, server):
    """Half of the answers are one user's, who is refused or is not: users tell, not answers."""

    def habit(messages, seed):
        user = messages[-1]["content"].split()[0]
        refuses = program.numbers_of(user, seed[0]).random() < 0.1
        text = program.sentence(program.numbers_of(messages[-1]["content"], seed), 10)
        return ("I'm sorry, but I can't help with that. " if refuses else "") + text

    numbers = random.Random(2)
    records = []
    for index in range(1200):
        user = f"u{index if index < 300 else index % 12}"
        question = f"{user} {ask_of(numbers)}"
        messages = turn(question, habit([{"content": question}], ("log", index)))
        records.append({"metadata": {"user": user}, "messages": messages})
    write(folder / "heavy.jsonl", records)
    with program.model_server(lambda r: habit(r["messages"], (r["model"], r["seed"]))) as models:
        study = program.write_study(
            folder / "heavy",
            folder / "heavy.jsonl",
            logs={"cluster": "metadata.user"},
            sample={"prefixes": 1200},
            grade={"behaviors": ["refusal"]},
            candidate={"model": "vllm/candidate"},
            deployed={"model": "vllm/deployed"},
        )
        program.understudy("run", study, "--display", "none", server=models)
    row = parts_of(study)["environment_error"]["behaviors"][0]
    print("heavy users, the same habits:", row)
    program.check(row["ratio_lo"] < 1 < row["ratio_hi"], f"the habits are the same: {row}")
    # 1,200 independent answers with 120 events of either would give a factor of 1.3.
    program.check(row["ratio_hi"] / row["ratio_lo"] > 1.7**2, f"too sure: {row}")


def request_path(folder, server):
    numbers = random.Random(3)
    records = []
    for index in range(120):
        refused = "I'm sorry, but I can't help with that. " if index < 30 else ""
        messages = turn(ask_of(numbers), refused + program.sentence(numbers, 10))
        if index < 90:
            prompt = "It is 2023. Be kind." if index < 40 else "Be kind."
            messages = [{"role": "system", "content": prompt}, *messages]
        records.append({"messages": messages})
    write(folder / "system.jsonl", records)
    sent = []

    def seen(request):
        sent.append(request)
        return program.sentence(program.numbers_of(request["seed"]), 5)

    with program.model_server(seen) as models:
        study = program.write_study(
            folder / "system",
            folder / "system.jsonl",
            sample={"prefixes": 120},
            grade={"behaviors": ["refusal"]},
            candidate={"model": "vllm/candidate", "system": "It is 2031."},
            deployed={"model": "vllm/deployed"},
        )
        program.understudy("run", study, "--display", "none", server=models)
    parts = parts_of(study)
    # The replayed model refuses nothing: a failure that is in the median, not beside it.
    refusal = parts["environment_error"]
    row = refusal["behaviors"][0]
    program.check(row["ratio"] is None and row["ratio_hi"] < 1, f"30 of 120 and none: {row}")
    program.check(refusal["occur_on_one_side"] == 1, str(refusal))
    program.check(refusal["median_error"] is None and len(refusal["rows"]) == 1, str(refusal))
    part = parts["request_path"]
    arms = {arm["arm"]: arm for arm in part["arms"]}
    print("request path:", arms)

    def count(model, prompt):
        return sum(
            [one["content"] for one in request["messages"] if one["role"] == "system"] == prompt
            for request in sent
            if request["model"] == model
        )

    program.check(count("candidate", ["It is 2031."]) == 120, "the test itself")
    program.check(count("deployed", []) == 30, "the test itself")
    candidate, deployed = arms["candidate"], arms["deployed"]
    program.check(candidate["system_prompts_replaced"] == 90, str(candidate))
    program.check(candidate["system_prompts_added"] == 30, str(candidate))
    program.check(candidate["system_prompts_as_logged"] == 0, str(candidate))
    program.check(deployed["system_prompts_replaced"] == 0, str(deployed))
    program.check(deployed["system_prompts_as_logged"] == 90, str(deployed))
    program.check(part["with_year_in_system_prompt"] == 40, str(part))
    as_logged = [line for line in part["lines"] if "as logged: in" in line and "system" in line]
    program.check(len(as_logged) == 1 and "the deployed model" in as_logged[0], str(part["lines"]))


def prefix_drift(folder, server):
    def drift(name, user, time, later_words):
        numbers = random.Random(4)
        records = []
        for index in range(400):
            question = ask_of(numbers)
            if index >= 220 and numbers.random() < later_words:
                question = "Tell me where my parcel is"
            records.append(
                {
                    "timestamp": time(index),
                    "metadata": {"user": user(index)},
                    "messages": turn(question, program.sentence(numbers, 10)),
                }
            )
        write(folder / f"{name}.jsonl", records)
        study = program.write_study(
            folder / name,
            folder / f"{name}.jsonl",
            logs={"cluster": "metadata.user"},
            sample={"prefixes": 400},
            grade={"behaviors": ["refusal"]},
            candidate={"model": "vllm/candidate"},
        )
        program.understudy("run", study, "--display", "none", server=server)
        part = parts_of(study)["prefix_drift"]
        print("drift,", name, part.get("why_not"), part.get("classifier"))
        return part

    def two_days(index):
        return "2024-01-01T00:00:00Z" if index < 220 else "2024-06-01T00:00:00Z"

    def each(index):
        return f"u{index}"

    # More than half of the logs are of the earliest moment.
    changed = drift("changed", each, two_days, 0.5)
    program.check(changed["measured"], str(changed))
    program.check(changed["classifier"]["auc_lo"] > 0.6, f"half ask for parcels: {changed}")
    told = changed["classifier"]["of_second"]
    program.check(any("parcel" in feature for feature in told), f"what tells: {told}")
    same = drift("same", each, two_days, 0)["classifier"]
    program.check(same["auc_lo"] < 0.5 < same["auc_hi"], f"nothing changed: {same}")
    few = drift("few", lambda index: f"u{index % 3}", two_days, 0)
    program.check(not few["measured"] and "20 are needed" in few["why_not"], f"three users: {few}")
    one = drift("one", each, lambda index: "2024-01-01T00:00:00Z", 0)
    program.check(not one["measured"] and "the same time" in one["why_not"], str(one))


with program.temporary_directory() as directory, program.model_server(say) as all_models:
    for test in (environment_error, of_users, request_path, prefix_drift):
        test(pathlib.Path(directory), all_models)
