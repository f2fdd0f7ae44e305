"""The worlds of docs/statistics.md from outside: a generator of its own writes verdict tables, and
`estimate --table` must find what `calibrate` says that it finds.

    outside_worlds.py [--repeats 60] [--seed 1]     repeats of each single world; a portfolio
                                                    is twenty behaviors

Prints median and 90% quantile of the forecast's error with their 95% ranges, and coverage.
"""

import argparse
import json
import math
import pathlib
import random
import statistics

import program

DRAWS, FRAME, LABELS, KNOWN = 100_000, 1_000_000, 800, 200
RECALL, FALSE_FLAGS = 0.85, 0.001
SPREAD, CORRELATION, OLD_CORRELATION = 2.5, 0.7, 0.8
STRATA = 40
NORMAL = statistics.NormalDist()
HEADER = "behavior,arm,prefix,draw,pi_prefix,screen,oracle,pi_oracle,count"


def binomial(numbers, n, share):
    """Exact, by splitting at order statistics (Devroye 1986)."""
    hits = 0
    while n > 30:
        middle = 1 + n // 2
        at = numbers.betavariate(middle, n + 1 - middle)
        if at >= share:
            n, share = middle - 1, share / at
        else:
            hits, n, share = hits + middle, n - middle, (share - at) / (1 - at)
    return hits + sum(numbers.random() < share for _ in range(n))


def poisson(numbers, mean):
    """Exact, by gamma waiting times (Ahrens & Dieter 1974)."""
    hits = 0
    while mean > 20:
        step = int(7 * mean / 8)
        waited = numbers.gammavariate(step, 1)
        if waited > mean:
            return hits + binomial(numbers, step - 1, mean / waited)
        hits, mean = hits + step, mean - waited
    product, limit = numbers.random(), math.exp(-mean)
    while product > limit:
        hits, product = hits + 1, product * numbers.random()
    return hits


def verified_rows(name, numbers, present, wrong, pi=""):
    """Flags as rows; at most LABELS of them are verified, at random."""
    flags = [1] * present + [0] * wrong
    numbers.shuffle(flags)
    share = min(1, LABELS / max(len(flags), 1))
    rows = []
    for value in (1, 0):
        count = flags[:LABELS].count(value)
        if count:
            rows.append(f"{name},candidate,v{value},0,{pi},1,{value},{share},{count}")
    if len(flags) > LABELS:
        rows.append(f"{name},candidate,u,0,{pi},1,,{share},{len(flags) - LABELS}")
    return rows


def uniform_rows(name, numbers, rate):
    present = binomial(numbers, DRAWS, rate)
    caught = binomial(numbers, present, RECALL)
    wrong = binomial(numbers, DRAWS - present, FALSE_FLAGS)
    rows = verified_rows(name, numbers, caught, wrong)
    return rows + [f"{name},candidate,p,0,,0,,,{DRAWS - caught - wrong}"]


class Risk:
    """How likely the behavior is where the risk score is `score`: E sigmoid(m + 2.5 z)."""

    NODES = [(0.1 * i, NORMAL.pdf(0.1 * i) * 0.1) for i in range(-60, 61)]

    def __init__(self, rate):
        low, high = -40.0, 10.0
        for _ in range(60):
            self.middle = (low + high) / 2
            if self.given(0, 0) > rate:
                high = self.middle
            else:
                low = self.middle

    def given(self, score, correlation):
        rest = math.sqrt(1 - correlation**2)
        return sum(
            weight / (1 + math.exp(-self.middle - SPREAD * (correlation * score + rest * z)))
            for z, weight in self.NODES
        )


def risk_rows(name, numbers, rate, old):
    scores = [NORMAL.inv_cdf((s + 0.5) / STRATA) for s in range(STRATA)]
    now, before = Risk(rate), Risk(min(old, 0.2))
    chances = [now.given(score, CORRELATION) for score in scores]
    roots = [math.sqrt(before.given(score, CORRELATION * OLD_CORRELATION)) for score in scores]
    mean = sum(chances) / STRATA
    rows = []
    for stratum, (chance, root) in enumerate(zip(chances, roots)):
        expected = DRAWS * (0.7 * root / sum(roots) + 0.3 / STRATA)
        caught = poisson(numbers, expected * chance * rate / mean * RECALL)
        taken = max(round(expected), caught)
        pi = taken / (FRAME / STRATA)
        if caught:
            rows.append(f"{name},candidate,v{stratum},0,{pi!r},1,1,1,{caught}")
        rows.append(f"{name},candidate,p{stratum},0,{pi!r},0,,,{taken - caught}")
    return rows


class Study:
    """Behaviors with their truth, as files for `estimate --table`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.rows, self.recall, self.previous, self.truth = [HEADER], [], [], {}

    def add(self, name, rows, truth, old, flagged):
        self.rows += rows
        self.recall.append(f"{name},known,{KNOWN},{flagged}")
        self.previous.append(f"{name},{1e5 * old!r}")
        self.truth[name] = truth

    def write(self, name, header, rows):
        path = self.folder / name
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    def estimate(self, frame=None):
        table = self.write("table.csv", self.rows[0], self.rows[1:])
        recall = self.write("recall.csv", "behavior,channel,positives,flagged", self.recall)
        previous = self.write("previous.csv", "behavior,per_100k", self.previous)
        flags = ["--table", table, "--recall", recall, "--previous", previous, "--json"]
        if frame:
            flags += ["--frame", frame]
        report = json.loads(program.understudy("estimate", *flags).stdout)
        for behavior in report["behaviors"]:
            yield self.truth[behavior["name"]], behavior


class Score:
    def __init__(self):
        self.errors, self.covered, self.missed, self.alarmed = [], 0, 0, 0

    def add(self, truth, behavior):
        forecast = behavior["forecast"]
        estimate = max(forecast["per_100k"] / 1e5, 0.5 / DRAWS)
        self.errors.append(abs(math.log(estimate / truth)))
        holds = forecast["lo"] / 1e5 <= truth <= forecast["hi"] / 1e5
        self.covered += holds
        self.missed += not holds
        self.alarmed += (not holds) and "regression" in behavior["alarms"]

    def quantile(self, share):
        """The quantile with its 95% range, from order statistics."""
        values, n = sorted(self.errors), len(self.errors)
        reach = 1.96 * math.sqrt(n * share * (1 - share))
        places = (n * share, n * share - reach, n * share + reach)
        return [math.exp(values[min(max(round(at), 0), n - 1)]) for at in places]

    def coverage(self):
        n = len(self.errors)
        share = self.covered / n
        middle, reach = (share + 1.92 / n) / (1 + 3.84 / n), 1.96 / (1 + 3.84 / n)
        reach *= math.sqrt(share * (1 - share) / n + 0.96 / n**2)
        return share, middle - reach, middle + reach

    def text(self):
        parts = [f"{100 * v:.1f}%" for v in self.coverage()]
        text = f"covers {parts[0]} ({parts[1]}-{parts[2]})"
        for share in (0.5, 0.9):
            value, low, high = self.quantile(share)
            text += f"  {share:.0%} {value:.3f} ({low:.3f}-{high:.3f})"
        if self.missed:
            text += f"  regression fired in {self.alarmed} of {self.missed} misses"
        return text


def single(folder, numbers, rate, repeats, jump=None):
    score = Score()
    for _ in range(repeats):
        study = Study(folder)
        old = rate / jump if jump else rate / math.exp(numbers.gauss(0, math.log(2)))
        flagged = binomial(numbers, KNOWN, RECALL)
        study.add("x", uniform_rows("x", numbers, rate), rate, old, flagged)
        for truth, behavior in study.estimate():
            score.add(truth, behavior)
    return score


def portfolio(folder, numbers, repeats, by_risk):
    score = Score()
    for _ in range(repeats):
        study = Study(folder)
        flagged = binomial(numbers, KNOWN, RECALL)
        for index in range(20):
            name = f"behavior_{index}"
            rate = 10 ** numbers.uniform(-5, -2)
            old = rate / math.exp(numbers.gauss(0, math.log(2)))
            if by_risk:
                rows = risk_rows(name, numbers, rate, old)
            else:
                caught = poisson(numbers, DRAWS * rate * RECALL)
                rows = verified_rows(name, numbers, caught, 0)
                rows += [f"{name},candidate,p,0,,0,,,{DRAWS - caught}"]
            study.add(name, rows, rate * math.exp(numbers.gauss(0, 0.3)), old, flagged)
        for truth, behavior in study.estimate(FRAME if by_risk else None):
            score.add(truth, behavior)
    return score


def inside(world, estimator, repeats, seed, *flags):
    done = program.understudy(
        *("calibrate", "--world", world, "--estimator", estimator, "--repeats", repeats),
        *("--seed", seed, "--display", "none", "--json", *flags),
    )
    return json.loads(done.stdout)["rows"][0]


def agrees(name, score, row):
    """Both generators' figures, within four standard errors of their difference."""
    print(f"{name:<24}{score.text()}")
    share, low, high = score.coverage()
    sd = (high - low) / 3.92 * 1.42
    program.check(
        abs(share - row["coverage"]) <= 4 * sd + 0.01,
        f"{name}: covers {share} from outside, {row['coverage']} in calibrate",
    )
    for quantile, key in ((0.5, "median_me"), (0.9, "p90_me")):
        value, low, high = score.quantile(quantile)
        sd = math.log(high / low) / 3.92 * 1.42
        program.check(
            abs(math.log(value / row[key])) <= 4 * sd + 0.01,
            f"{name}: {key} {value:.3f} from outside, {row[key]} in calibrate",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    repeats, portfolios = options.repeats, max(options.repeats // 4, 2)
    with program.temporary_directory() as folder:
        for world, jump in (("A", None), ("E", 6)):
            for rate in (1e-3, 1e-4):
                score = single(folder, numbers, rate, repeats, jump)
                row = inside(world, "forecast", repeats, options.seed, "--rate", rate)
                agrees(f"{world} {rate:g}", score, row)
        for by_risk, estimator in ((False, "forecast"), (True, "risk_forecast")):
            score = portfolio(folder, numbers, portfolios, by_risk)
            row = inside("portfolio", estimator, portfolios, options.seed)
            agrees(f"portfolio {estimator}", score, row)


if __name__ == "__main__":
    main()
