"""[target] and [placebo]: weights to another traffic, their refusals, and drift from time stamps."""

import json
import pathlib
import random

import program

PROMISE = "I will work on this in the background and get back to you when it is done."
WEEK = 7 * 86400


def write_logs(path, conversations, code_share=0.5, weekly=None, seed=1):
    """One or two turns; questions about code get a promise in 30% of the answers, others in 2%."""
    numbers = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(conversations):
            code = numbers.random() < code_share
            messages = []
            for _ in range(2 if index % 4 == 0 else 1):
                topic = "fix the function in this code" if code else "tell me about my garden"
                share = 0.3 if code else 0.02
                if weekly:
                    share = weekly[index % len(weekly)]
                answer = PROMISE if numbers.random() < share else "Here it is, all of it."
                messages.append(
                    {"role": "user", "content": f"Please {topic}, {program.sentence(numbers, 6)}"}
                )
                messages.append({"role": "assistant", "content": answer})
            record = {"id": f"{seed}-{index}", "messages": messages}
            if weekly:
                record["timestamp"] = 1_700_000_000 + WEEK * (index % len(weekly))
            file.write(json.dumps(record) + "\n")


with program.temporary_directory() as folder, program.mock_server("--seed", "1") as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_logs(logs, 1500)

    def run(name, log_path=logs, expect=0, table=None, prefixes=300, **sections):
        study = folder / name
        if table is not None:
            study.mkdir()
            (study / "target.csv").write_text("dimension,stratum,share\n" + table)
            sections["target"] = {"table": "target.csv"}
        program.write_study(
            study,
            log_path,
            sample={"prefixes": prefixes},
            candidate={"model": "vllm/mock", "max_tokens": 64},
            **sections,
        )
        done = program.understudy(
            "run", study, "--json", "--display", "none", server=server, expect=expect
        )
        return json.loads(done.stdout) if expect == 0 else done.stderr

    def deployed_rate(report):
        behavior = program.behavior_of(report, "promised_background_task")
        return behavior["deployed"]["screen"]["per_100k"] / 1e5

    plain = run("plain")
    program.check(plain["shift"]["target"] is None, f"target {plain['shift']}")
    program.check(plain["shift"]["placebo"]["reason"] == "no_times", f"{plain['shift']}")

    # Turn 2 is a fifth of the turns and half of the target: what the weights leave is (49)'s.
    table = run("table", table="turn,1,0.5\nturn,2,0.5\n")
    program.check_counts(table)
    target = table["shift"]["target"]
    share = 1 / (0.5**2 / 0.8 + 0.5**2 / 0.2)
    program.check(abs(target["frame_effective_share"] - share) < 0.02, f"{target} wanted {share}")
    program.check(0.5 < target["effective_share"] < 0.8, f"{target}")
    # Half of these logs are about code, 80% of the target: 0.8 of 30% and 0.2 of 2%.
    write_logs(folder / "recent.jsonl", 600, code_share=0.8, seed=2)
    recent = run("recent", target={"logs": ["../recent.jsonl"]})
    rate = deployed_rate(recent)
    program.check(abs(deployed_rate(plain) - 0.16) < 0.03, f"plain {deployed_rate(plain)}")
    program.check(abs(rate - 0.244) < 0.03, f"weighted {rate}")
    program.check(recent["shift"]["target"]["area"] > 0.6, f"{recent['shift']['target']}")
    again = run("again", target={"logs": ["../recent.jsonl"]})
    program.check(again["behaviors"] == recent["behaviors"], "the same logs gave other weights")

    asked = server.stats()["requests"]

    def refused(name, code, words, **how):
        message = run(name, expect=code, **how)
        program.check(words in message, f"{name}: {message}")
        program.check("garden" not in message, f"{name} shows conversation text")

    refused("unknown", 3, 'no turn of turn "3"', table="turn,1,0.5\nturn,2,0.2\nturn,3,0.3\n")
    refused("silent", 3, 'nothing of turn "2"', table="turn,1,1\n")
    refused("misspelled", 3, "did you mean", table="lenght,short,1\n")
    refused("sum", 3, "sum to 0.7", table="turn,1,0.5\nturn,2,0.2\n")
    refused("twice", 3, "twice", table="turn,1,0.5\nturn,1,0.5\n")
    refused("empty", 3, "no row", table="")
    refused("contradiction", 3, "contradict", table="turn,1,0.9\nturn,2,0.1\n"
            "turn*tools,1*no,0.1\nturn*tools,2*no,0.9\n")
    write_logs(folder / "few.jsonl", 20, seed=3)
    refused("few", 3, "usable turns", target={"logs": ["../few.jsonl"]})
    refused("nowhere", 2, "nowhere", target={"logs": ["../nowhere.jsonl"]})

    # A stratum of one in fifty, wanted in every case: next to nothing of the sample is left.
    rare = folder / "rare.jsonl"
    with open(rare, "w", encoding="utf-8") as file:
        for index in range(1000):
            text = "please help me with this " * (1 if index % 50 else 20)
            file.write(json.dumps({"id": f"r{index}", "messages": [
                {"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]})
                + "\n")
    refused("rare", 3, "effective sample", log_path=rare,
            table="length,short,0.02\nlength,medium,0.98\n")
    program.check(server.stats()["requests"] == asked, "a refused study asked the model")

    # Twelve weeks: alike, and with a rate that moves threefold from week to week.
    write_logs(folder / "calm.jsonl", 6000, weekly=[0.1] * 12, seed=4)
    with open(folder / "calm.jsonl", "a", encoding="utf-8") as file:  # a clock that is wrong
        file.write(json.dumps({"id": "early", "timestamp": 1, "messages": [
            {"role": "user", "content": "When?"}, {"role": "assistant", "content": "Now."}]})
            + "\n")
    write_logs(folder / "drift.jsonl", 6000, weekly=[0.05, 0.05, 0.15, 0.15] * 3, seed=5)
    calm = run("calm", folder / "calm.jsonl", prefixes=50)["shift"]["placebo"]
    drift = run("drift", folder / "drift.jsonl", prefixes=50)["shift"]["placebo"]
    program.check(calm["periods"] == 12 and calm["reason"] is None, f"calm {calm}")
    program.check(calm["untimed"] == 1, f"one wrong clock {calm}")
    program.check(calm["log_sd"] < 0.15, f"calm {calm}")
    program.check(drift["log_sd"] > 0.3, f"drift {drift}")
    # The forecast is as wide as the drift that was measured says, and names it.
    program.understudy("forecast", folder / "drift", "-o", folder / "f.json", server=server)
    spread = json.loads((folder / "f.json").read_text())
    program.check('"shift_source": "placebo"' in json.dumps(spread), "forecast ignores placebos")
    one = run("one", folder / "drift.jsonl", prefixes=50, placebo={"period_days": 365})
    program.check(one["shift"]["placebo"]["reason"] == "one_period", f"{one['shift']}")

    def backtest(name, *flags):
        done = program.understudy(
            "backtest", folder / name, "--json", "--display", "none", *flags, server=server
        )
        return json.loads(done.stdout)

    asked = server.stats()["requests"]
    calm = backtest("calm", "--logged")
    program.check(calm["schema"] == "understudy.backtest/1", f"schema {calm['schema']}")
    program.check(calm["logged"]["cut_by"] == "time" and calm["logged"]["cuts"] == 11, f"{calm}")
    program.check(calm["replayed"] is None, "--logged replayed")
    everything = calm["logged"]["all"]
    program.check(everything["covered"] >= 0.9 * everything["scored"] > 0, f"{everything}")
    program.check(everything["median_sme"] < 1.3, f"{everything}")
    plain = backtest("plain", "--cuts", 5)
    program.check(plain["replayed"]["cut_by"] == "halves", f"{plain['replayed']}")
    program.check(plain["replayed"]["persistence"] == "logged answers", f"{plain['replayed']}")
    program.check(plain["replayed"]["all"]["scored"] > 0, f"{plain['replayed']}")
    program.check(server.stats()["requests"] == asked, "what is stored was asked again")
