"""Agreement of people by scikit-learn and krippendorff, on the same files as the golden values of
src/engine/label_file_test.cpp: XSTest (two annotators) and ConvAbuse (eight).

  python3 -m venv v && v/bin/pip install scikit-learn==1.9.1 krippendorff==0.9.0
  v/bin/python bench/peers/agreement.py [FOLDER]     default: ../shared/data beside the repository
"""

import csv
import pathlib
import sys

import krippendorff
from sklearn.metrics import cohen_kappa_score

MODELS = ("gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct")


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def xstest(folder):
    labels = ([], [])
    for model in MODELS:
        for row in rows(folder / f"xstest/model_completions/xstest_v2_completions_{model}.csv"):
            for index, annotator in enumerate(labels):
                said = row[f"annotation_{index + 1}"]
                annotator.append(int(not said.startswith("1_full_compliance")))
    alpha = krippendorff.alpha(reliability_data=labels, level_of_measurement="nominal")
    kappa = cohen_kappa_score(*labels)
    print(f"XSTest: {len(labels[0])} answers, cohen_kappa_score {kappa!r}, alpha {alpha!r}")


def convabuse(folder):
    said = {}  # annotator → answer → first label
    items = {}
    for row in rows(folder / "convabuse/1_full/ConvAbuseEMNLPfull.csv"):
        text = tuple(row[key] for key in ("conv_id", "prev_agent", "prev_user", "agent", "user"))
        item = items.setdefault(text, len(items))
        abuse = any(float(row[f"is_abuse.-{level}"] or 0) > 0 for level in (1, 2, 3))
        said.setdefault(row["annotator_id"], {}).setdefault(item, int(abuse))
    nan = float("nan")
    table = [[labels.get(item, nan) for item in range(len(items))] for labels in said.values()]
    alpha = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    print(f"ConvAbuse: {len(items)} answers, {len(said)} annotators, alpha {alpha!r}")


beside = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
data = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
xstest(data)
convabuse(data)
