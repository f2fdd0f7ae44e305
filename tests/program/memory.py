"""No stage holds the study in memory: three times the conversations must not take much more of it.

The larger study has 60 MB of text more. What a stage may keep is some dozens of bytes a conversation
and the database's page cache (32 MB), so the bound between them is not close to either.
"""

import json
import os
import random
import subprocess

from program import (
    PROGRAM,
    check,
    environment,
    mock_server,
    sentence,
    temporary_directory,
    write_study,
)

SMALL, LARGE = 5_000, 15_000
GROWTH_MAX_MB = 48
STAGES = ("ingest", "sample", "replay", "grade", "estimate", "report")


def write_long_logs(path, conversations):
    """Three turns of 2 kB each; sentences are shared, conversations are not."""
    numbers = random.Random(1)
    sentences = [sentence(numbers, 20) for _ in range(2_000)]
    with open(path, "w", encoding="utf-8") as file:
        for index in range(conversations):
            messages = []
            for _ in range(3):
                question = " ".join(numbers.choices(sentences, k=3))
                answer = " ".join(numbers.choices(sentences, k=12))
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": answer})
            file.write(json.dumps({"id": f"c{index}", "messages": messages}) + "\n")


def peak_megabytes(stage, directory, server):
    process = subprocess.Popen(
        [PROGRAM, stage, str(directory), "--display", "none"], env=environment(server)
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    check(process.returncode == 0, f"{stage} ended with {process.returncode}")
    return usage.ru_maxrss * 1024 / 1e6


def peaks(root, conversations, server):
    log = f"{root}/{conversations}.jsonl"
    write_long_logs(log, conversations)
    study = write_study(
        f"{root}/study_{conversations}",
        log,
        sample={"prefixes": conversations},
        candidate={"model": "vllm/mock", "max_tokens": 64},
    )
    return {stage: peak_megabytes(stage, study, server) for stage in STAGES}


def main():
    with temporary_directory() as root, mock_server() as server:
        small = peaks(root, SMALL, server)
        large = peaks(root, LARGE, server)
    for stage in STAGES:
        growth = large[stage] - small[stage]
        print(f"{stage}: {small[stage]:.0f} MB, then {large[stage]:.0f} MB")
        check(
            growth < GROWTH_MAX_MB,
            f"{stage} takes {growth:.0f} MB more for {LARGE} conversations than for {SMALL}",
        )


if __name__ == "__main__":
    main()
