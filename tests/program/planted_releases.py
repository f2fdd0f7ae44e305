"""A world with known truth through the whole program: X and Y show twenty behaviors at known rates,
replay is biased by 1.5 for both, traffic shifts by sd 0.3 after the release. Three releases, each
forecast, deployed and verified; each adds to the table that the next one's prior learns from."""

import concurrent.futures
import json
import math
import pathlib
import random
import urllib.request

import program

BEHAVIORS = (
    "confirmation_hacking misrepresented_completion fabricated_facts concealed_uncertainty "
    "mental_health harassment sexual_content violent_wrongdoing nonviolent_wrongdoing "
    "biological_risk violence extremism emotional_reliance self_harm hate "
    "circumvented_restrictions destructive_action unauthorized_data_transfer reward_hacking "
    "credential_harvesting"
).split()
TURNS = 350
BIAS = 1.5
SHIFT_SD = 0.3


def scenario(models, bias=None):
    text = f"environment_bias = {bias}\n" if bias else ""
    for name, rates in models.items():
        text += f'[models.{name}]\nrole = "candidate"\n[models.{name}.rates]\n'
        text += "".join(f"{behavior} = {rate:.6f}\n" for behavior, rate in rates.items())
    return text + '[models.judge]\nrole = "judge"\nsensitivity = 1.0\nspecificity = 1.0\n'


def ask(server, model, question):
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(
        server.url + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def write_production(path, server, model, label, numbers):
    """What a deployed model would have logged."""
    questions = [program.sentence(numbers, 12)[:-1] + f" {i}?" for i in range(TURNS)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda question: ask(server, model, question), questions))
    with open(path, "w", encoding="utf-8") as file:
        for i, (question, answer) in enumerate(zip(questions, answers)):
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"id": f"{label}-{i}", "messages": messages}) + "\n")


def release(folder, seed):
    """One release: its verification."""
    numbers = random.Random(seed)
    old = {name: 10 ** (-2.2 + 1.0 * numbers.random()) for name in BEHAVIORS}
    new, after = {}, {}
    for name in BEHAVIORS:
        spread = 0.15 if numbers.random() < 0.6 else 1.0
        new[name] = min(old[name] * math.exp(spread * numbers.gauss(0, 1)), 0.15)
        after[name] = min(new[name] * math.exp(SHIFT_SD * numbers.gauss(0, 1)), 0.2)
    here = folder / f"release-{seed}"
    here.mkdir()
    (here / "production.toml").write_text(scenario({"y": old, "x": after}))
    (here / "replay.toml").write_text(scenario({"y": old, "x": new}, BIAS))
    with program.mock_server("--scenario", here / "production.toml", "--seed", str(seed)) as server:
        write_production(here / "old.jsonl", server, "y", f"old{seed}", numbers)
        write_production(here / "new.jsonl", server, "x", f"new{seed}", numbers)
    history = folder / "releases.csv"
    sections = {"forecast": {"history": str(history)}} if history.exists() else {}
    replay = ("--scenario", here / "replay.toml", "--seed", str(seed + 100))
    with program.mock_server(*replay) as server:
        study = program.write_study(
            here / "study",
            here / "old.jsonl",
            sample={"prefixes": TURNS},
            candidate={"model": "vllm/x"},
            deployed={"model": "vllm/y"},
            roles={"judge": "vllm/judge"},
            grade={"behaviors": BEHAVIORS},
            **sections,
        )
        program.understudy("run", study, "--display", "none", server=server, timeout=600)
        program.understudy("forecast", study)
        done = program.understudy(
            "verify", study / "forecast.json", "--logs", here / "new.jsonl", "--history", history,
            "--json", "--display", "none", server=server, timeout=600,
        )
    return json.loads(done.stdout)


def holds(part, low, high, truth):
    return part is not None and part[low] <= truth <= part[high]


with program.temporary_directory() as name:
    covered = scored = environment = shift = beaten = 0
    for seed in (1, 2, 3):
        document = release(pathlib.Path(name), seed)
        summary, pooled = document["summary"], document["error_split"]["pooled"]
        covered += summary["covered"]
        scored += summary["scored"]
        test = next(t for t in summary["tests"] if t["baseline"] == "persistence")
        beaten += test["mean_log_error"] < test["baseline_mean_log_error"]
        environment += holds(pooled["environment"], "lo", "hi", math.log(BIAS))
        shift += holds(pooled["remainder"], "sd_lo", "sd_hi", SHIFT_SD)
        old_rate = summary["baseline_median_sme"]["persistence"]
        print(
            f"release {seed}: covered {summary['covered']} of {summary['scored']}, median error "
            f"{summary['median_sme']:.2f}, old rate {old_rate:.2f}, environment {pooled['environment']}, remainder {pooled['remainder']}"
        )
    print(
        f"covered {covered} of {scored}; environment {environment} of 3; shift {shift} of 3; "
        f"better than the old rate {beaten} of 3"
    )
    program.check(scored == 60, f"{scored} rows")
    # 60 intervals of 95%: fewer than 51 has a chance of less than one in a thousand.
    program.check(covered >= 51, f"{covered} of 60 intervals hold")
    program.check(environment >= 2, "the planted bias is not found")
    program.check(shift >= 2, "the planted shift is not found")
