"""Planted worlds through `estimate --table`, from outside: a generator of its own draws what a judge with
known errors and an oracle with a budget would have seen, and the intervals must hold the planted rates.

    planted_worlds.py [--seeds 40] [--design recall|audit|both]

Each seed is 50,000 draws of each of eight behaviors from 1e-2 to 1e-4, a judge of sensitivity .85 and
specificity .999, and 1,000 questions to the oracle for each behavior.

  recall   200 of them on known positives (--recall), the flags, and the rest on an audit of what the
           judge passed
  audit    no known positives: the flags, and the rest on the audit. Where the audit says too little,
           the rate is given relative to the judge (`screen_relative`) with the miss bound beside it
"""

import argparse
import json
import pathlib
import random

import program
from outside_worlds import binomial

DRAWS, BUDGET, KNOWN = 50_000, 1_000, 200
SENSITIVITY, SPECIFICITY = 0.85, 0.999
RATES = [10 ** (-2 - 2 * step / 7) for step in range(8)]
HEADER = "behavior,arm,prefix,draw,screen,oracle,pi_oracle,count"


class World:
    """One behavior's draws, counted, and what verification made of them."""

    def __init__(self, numbers, name, rate, budget):
        self.name = name
        present = binomial(numbers, DRAWS, rate)
        caught = binomial(numbers, present, SENSITIVITY)
        wrong = binomial(numbers, DRAWS - present, 1 - SPECIFICITY)
        flags = [1] * caught + [0] * wrong
        numbers.shuffle(flags)
        asked = flags[:budget]
        passed = DRAWS - len(flags)
        missed = binomial(numbers, min(budget - len(asked), passed), (present - caught) / passed)
        audit = min(budget - len(asked), passed)
        pi_flag = len(asked) / max(len(flags), 1)
        pi_audit = audit / passed
        self.rows = []
        for screen, oracle, pi, count in (
            (1, 1, pi_flag, sum(asked)),
            (1, 0, pi_flag, len(asked) - sum(asked)),
            (1, "", "", len(flags) - len(asked)),
            (0, 1, pi_audit, missed),
            (0, 0, pi_audit, audit - missed),
            (0, "", "", passed - audit),
        ):
            if count:
                self.rows.append(f"{name},candidate,,,{screen},{oracle},{pi},{count}")
        self.known = f"{name},known,{KNOWN},{binomial(numbers, KNOWN, SENSITIVITY)}"


class Score:
    def __init__(self):
        self.seeds = self.held = self.forecast = self.naive = self.relative = 0
        self.spread = []

    def add(self, truth, behavior):
        def holds(rate):
            return rate["lo"] <= truth <= rate["hi"]

        candidate = behavior["candidate"]
        corrected = candidate["corrected"]
        self.seeds += 1
        self.held += holds(corrected)
        self.forecast += holds(behavior["forecast"])
        self.naive += holds(candidate["screen"])
        self.relative += "screen_relative" in behavior["alarms"]
        self.spread.append(corrected["hi"] / max(corrected["lo"], 1e-9))

    def text(self):
        middle = sorted(self.spread)[len(self.spread) // 2]
        share = 100 / self.seeds
        return (
            f"corrected {share * self.held:5.1f}%  forecast {share * self.forecast:5.1f}%  "
            f"judge alone {share * self.naive:5.1f}%  screen_relative {share * self.relative:3.0f}%  "
            f"median hi/lo {middle:.3g}"
        )


def run(design, seeds, folder):
    scores = [Score() for _ in RATES]
    for seed in range(1, seeds + 1):
        numbers = random.Random(f"{design} {seed}")
        budget = BUDGET - KNOWN if design == "recall" else BUDGET
        worlds = [World(numbers, f"behavior_{i}", rate, budget) for i, rate in enumerate(RATES)]
        table = folder / "table.csv"
        table.write_text("\n".join([HEADER] + [row for w in worlds for row in w.rows]) + "\n")
        flags = ["--table", table, "--json"]
        if design == "recall":
            recall = folder / "recall.csv"
            lines = ["behavior,channel,positives,flagged"] + [world.known for world in worlds]
            recall.write_text("\n".join(lines) + "\n")
            flags += ["--recall", recall]
        report = json.loads(program.understudy("estimate", *flags).stdout)
        for index, rate in enumerate(RATES):
            scores[index].add(1e5 * rate, program.behavior_of(report, f"behavior_{index}"))
    print(f"{design}: {seeds} seeds")
    for rate, score in zip(RATES, scores):
        print(f"  {rate:8.2e}  {score.text()}")
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--design", choices=["recall", "audit", "both"], default="both")
    options = parser.parse_args()
    designs = ["recall", "audit"] if options.design == "both" else [options.design]
    # A coverage of 95% misses this often by chance at most, in one run of a thousand.
    slack = 3.1 * (0.95 * 0.05 / options.seeds) ** 0.5
    least = max(0.93 if options.seeds >= 200 else 0, 0.95 - slack)
    with program.temporary_directory() as folder:
        for design in designs:
            scores = run(design, options.seeds, pathlib.Path(folder))
            for rate, score in zip(RATES, scores):
                share = score.held / score.seeds
                # Without recall the claim about the truth is the audit's, where it tells.
                if design == "recall":
                    program.check(share >= least, f"{rate:.2e}: holds {share:.1%}")
                    if rate <= 1e-3:
                        program.check(score.naive / score.seeds < 0.2, f"{rate:.2e}: judge alone")
                else:
                    program.check(share >= least - 0.08, f"{rate:.2e}, audit alone: {share:.1%}")


if __name__ == "__main__":
    main()
