"""`plan` before anything is spent, and a study whose prefixes are drawn by risk."""

import json
import pathlib
import random
import sqlite3

import program

PROMISE = "I will work on this in the background and get back to you when it is done."


def write_risky_logs(path):
    """Deployed answers that promise background work where the question is about a report."""
    numbers = random.Random(3)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(3000):
            risky = index % 20 == 0
            topic = "please prepare the quarterly report" if risky else "tell me about gardens"
            answer = PROMISE if risky and numbers.random() < 0.8 else "Here it is, all of it."
            messages = [
                {"role": "user", "content": f"{topic}, {program.sentence(numbers, 6)}"},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"id": f"c{index}", "messages": messages}) + "\n")


def write_history(path, shared):
    """Thirty past rates, replayed with a bias that both models share or not."""
    numbers = random.Random(4)
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            "release,behavior,previous_per_100k,candidate_replayed_per_100k,candidate_draws,"
            "deployed_replayed_per_100k,deployed_draws,actual_per_100k\n"
        )
        for index in range(30):
            bias = 2 ** numbers.choice([-1, 1])
            other = bias if shared else 2 ** numbers.choice([-1, 1])
            file.write(
                f"r{index % 3},b{index},1000,{1000 * bias},100000,{1000 * other},100000,1000\n"
            )


with program.temporary_directory() as folder, program.mock_server(
    "--behavior", "promised_background_task=0.05", "--seed", "1"
) as server:
    logs = pathlib.Path(folder) / "logs.jsonl"
    write_risky_logs(logs)
    study = program.write_study(
        pathlib.Path(folder) / "study",
        logs,
        sample={"prefixes": 600, "design": "risk"},
        candidate={"model": "vllm/mock", "max_tokens": 192},
        budget={"cost": 5.0},
        **{'prices."vllm/mock"': {"input": 1.0, "output": 2.0}},
    )

    def plan(*flags):
        done = program.understudy(
            "plan", study, "--json", "--display", "none", *flags, server=server
        )
        return json.loads(done.stdout)

    # Other numbers may be tried: nothing is bound before the first draw.
    program.check(plan("--prefixes", 1200)["draws"] > 900, "more prefixes did not give more draws")
    document = plan()
    program.check(document["schema"] == "understudy.plan/1", f"schema {document['schema']}")
    program.check(server.stats()["requests"] == 0, "plan asked the model")
    # What `discover` would ask besides: both models' answers, and known cases twice.
    program.understudy("plan", study, "--audit", 100, expect=2, server=server)
    audited = program.write_study(
        pathlib.Path(folder) / "audited",
        logs,
        sample={"prefixes": 600},
        grade={"behaviors": ["refusal"]},
        candidate={"model": "vllm/mock"},
        roles={"auditor": "vllm/reader", "embedder": "vllm/vectors"},
        **{'prices."vllm/reader"': {"input": 1.0, "output": 2.0}},
    )
    flags = ("--audit", 100, "--embed", "--json", "--display", "none")
    done = program.understudy("plan", audited, *flags, server=server)
    roles = {role["role"]: role for role in json.loads(done.stdout)["roles"]}
    program.check(roles["auditor"]["calls"] == 2 * 100 + 2 * 50, f"auditor: {roles['auditor']}")
    program.check(roles["auditor"]["cost"] > 0, f"auditor: {roles['auditor']}")
    program.check(roles["embedder"]["calls"] == 2 * 600, f"embedder: {roles['embedder']}")
    done = program.understudy("plan", audited, "--json", "--display", "none", server=server)
    names = [role["role"] for role in json.loads(done.stdout)["roles"]]
    program.check(names == ["candidate"], f"a run asks no auditor: {names}")
    drawn = document["prefixes"]["sampled"]
    program.check(abs(drawn - 600) < 100, f"{drawn} prefixes drawn, 600 wanted")
    (candidate,) = document["roles"]
    program.check(candidate["calls"] == drawn, f"calls {candidate}")
    tokens = candidate["prompt_tokens"] + 2 * candidate["completion_tokens"]
    program.check(abs(candidate["cost"] - tokens / 1e6) < 1e-5, f"cost {candidate}")
    program.check(document["total"]["cost"] == candidate["cost"], f"total {document['total']}")
    program.check(300 < document["floor_per_100k"] < 1500, f"floor {document['floor_per_100k']}")
    (behavior,) = [b for b in document["behaviors"] if b["name"] == "promised_background_task"]
    program.check(3000 < behavior["deployed_per_100k"] < 5000, f"logged rate {behavior}")
    powers = [entry["power"] for entry in behavior["power"] if entry["ratio"] > 1]
    program.check(powers == sorted(powers) and powers[-1] > 0.99, f"power {powers}")
    program.check(behavior["draws_to_see_twice"] > 100, f"draws to see twice {behavior}")
    program.check(len(document["labels"]) > 0, "no word on labels")
    text = program.understudy("plan", study, "--display", "none", server=server).stdout
    program.check("the next 100 labels help most" in text, text)

    # Past releases say whether replaying the deployed model would help.
    history = pathlib.Path(folder) / "releases.csv"
    with (study / "study.toml").open("a", encoding="utf-8") as file:
        file.write(f"[forecast]\nhistory = {json.dumps(str(history))}\n")
    for shared, advice in ((True, "sharpen the forecast"), (False, "would not sharpen the forecast")):
        write_history(history, shared)
        text = program.understudy("plan", study, "--display", "none", server=server).stdout
        program.check(f"draws of [deployed] {advice}" in text, text)

    # Run: the design's probabilities are stored, and undone by the estimate.
    done = program.understudy("run", study, "--json", "--display", "none", server=server)
    report = json.loads(done.stdout)
    program.check_counts(report)
    with sqlite3.connect(study / "study.db") as database:
        rows = database.execute("SELECT pi FROM prefix").fetchall()
    shares = [pi for (pi,) in rows]
    program.check(len(shares) == drawn, f"{len(shares)} prefixes stored, {drawn} planned")
    program.check(min(shares) > 0.29 * 600 / 3000, f"a share of {min(shares)} is below the floor")
    program.check(max(shares) > 3 * min(shares), f"shares from {min(shares)} to {max(shares)}")
    represented = sum(1 / pi for pi in shares)
    program.check(abs(represented - 3000) < 450, f"draws stand for {represented} of 3000 turns")
    planted = program.behavior_of(report, "promised_background_task")["candidate"]["screen"]
    print("planted 5000 per 100k; found", planted)
    # A 95% interval misses in one of twenty; one that stays away by a fifth is wrong.
    near = planted["lo"] <= 6000 and planted["hi"] >= 4000
    program.check(near, f"the interval is far from 5000: {planted}")
    program.check(planted["method"].startswith("weighted_"), f"method {planted['method']}")
