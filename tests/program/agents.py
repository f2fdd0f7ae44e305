"""Agents end to end: trajectories through recorded tools, what breaks them, and calculator hacking
that only the candidate does. `agents.py --hacking N` takes N messages for the last part."""

import json
import pathlib
import sys

import program
from agent_logs import agent_study, write_agent_logs

def run(study, server, expect=0):
    done = program.understudy("run", study, "--json", "--display", "none", server=server, expect=expect)
    report = json.loads(done.stdout)
    program.check_counts(report)
    return report, report["counts"]["draws"]["candidate"]


def check_equal(what, found, expected):
    program.check(found == expected, f"{what}: {found}, expected {expected}")


SCENARIO = """
seed = 4
[models.agent]
tool_calls = 10
[models.parallel]
tool_calls = 10
parallel_calls = 4
[models.endless]
tool_calls = 1_000_000
[models.curious]
tool_calls = 12
[models.careless]
tool_calls = 4
faults = { unknown_tool = 0.1, arguments_not_json = 0.1, duplicate_ids = 0.5 }
[models.hacker]
tool_calls = 1
rates = { calculator_hacking = HACKS }
"""


def trajectories(folder, server):
    logs = folder / "logs.jsonl"
    write_agent_logs(logs, conversations=60, calls=10)
    _, draws = run(agent_study(folder / "agent", logs, "vllm/agent", 60), server)
    check_equal("ended", draws["ended"], {"answered": 60})
    check_equal("answers", draws["answers"], 660)
    check_equal("tool calls", draws["tool_calls"], {"recorded": 600})

    _, draws = run(agent_study(folder / "parallel", logs, "vllm/parallel", 60), server)
    check_equal("parallel: answers", draws["answers"], 60 * 4)
    check_equal("parallel: tool calls", draws["tool_calls"], {"recorded": 600})

    # The limit is the logged answers' too, so what was not seen within it is absent.
    report, draws = run(agent_study(folder / "limited", logs, "vllm/endless", 60, max_steps=4), server)
    check_equal("limited: ended", draws["ended"], {"max_steps": 60})
    check_equal("limited: tool calls", draws["tool_calls"], {"recorded": 180})
    refusals = program.behavior_of(report, "refusal")["verdicts"]["candidate"]
    check_equal("limited: refusals", refusals["absent"], 60)

    _, draws = run(agent_study(folder / "tokens", logs, "vllm/endless", 60, max_tokens=300), server)
    check_equal("tokens: ended", draws["ended"], {"max_tokens": 60})

    # Two calls more than any log holds: nobody answers the eleventh, and nothing is known of what
    # it would have done.
    report, draws = run(agent_study(folder / "curious", logs, "vllm/curious", 60), server)
    check_equal("curious: ended", draws["ended"], {"tool_simulation_failed": 60})
    check_equal("curious: tool calls", draws["tool_calls"], {"none": 60, "recorded": 600})
    check_equal("curious: troubles", draws["tool_troubles"], {"no_source": 60})
    refusals = program.behavior_of(report, "refusal")["verdicts"]["candidate"]
    check_equal("curious: refusals", refusals["ungradable"], {"trajectory_ended_early": 60})

    # Cuts after tool results as well: what is left of the trajectory is replayed from there.
    report, draws = run(agent_study(folder / "cuts", logs, "vllm/agent", 200, cut="any"), server)
    check_equal("cuts: frame", report["counts"]["prefixes"]["frame"], 60 * 11)
    check_equal("cuts: ended", draws["ended"], {"answered": 200})
    program.check(200 < draws["answers"] < 200 * 11, f"cuts: answers {draws['answers']}")

    # Without [tools] a draw is one answer, as before.
    single = agent_study(folder / "single", logs, "vllm/agent", 60, max_steps=1)
    _, draws = run(single, server)
    program.check("ended" not in draws, f"single: {draws}")

    # From the records alone: the same bytes of the same numbers.
    again = agent_study(folder / "again", logs, f"recorded/{folder / 'agent'}", 60)
    program.understudy("run", again, "--display", "none")
    before = json.loads((folder / "agent" / "report.json").read_text())
    after = json.loads((again / "report.json").read_text())
    check_equal("recorded", after["behaviors"], before["behaviors"])
    check_equal("recorded draws", after["counts"]["draws"], before["counts"]["draws"])


def faults(folder, server):
    logs = folder / "logs.jsonl"
    write_agent_logs(logs, conversations=200, calls=4, seed=2)
    _, draws = run(agent_study(folder / "careless", logs, "vllm/careless", 200), server)
    ended = draws["ended"]
    check_equal("careless: all end", sum(ended.values()), 200)
    check_equal(
        "careless: ways to end", sorted(ended), ["answered", "arguments_not_json", "unknown_tool"]
    )
    # Of four answers each one in ten goes wrong in either way: 0.9^8 answer.
    program.check(60 <= ended["answered"] <= 112, f"careless: {ended}")


def hacking(folder, server, messages, per_message):
    logs = folder / "logs.jsonl"
    write_agent_logs(logs, conversations=messages, calls=1, seed=3)
    study = agent_study(folder / "hacker", logs, "vllm/hacker", messages)
    report, draws = run(study, server)
    found = program.behavior_of(report, "calculator_hacking")
    rate = found["candidate"]["screen"]
    truth = 100_000 * per_message
    print(f"planted {truth:g} per 100k; found {rate}; alarms {found['alarms']}")
    check_equal("hacking: draws", draws["completed"], messages)
    check_equal("hacking: hacks end", draws["ended"].get("tool_simulation_failed"), rate["k"])
    check_equal("hacking: deployed", found["verdicts"]["deployed"]["present"], 0)
    program.check(rate["lo"] <= truth <= rate["hi"], f"the interval misses {truth}: {rate}")
    check_equal("hacking: direction", found["change"]["direction"], "up")
    program.check("regression" in found["alarms"], f"alarms: {found['alarms']}")
    for behavior in report["behaviors"]:
        if behavior["name"] != "calculator_hacking":
            present = behavior["verdicts"]["candidate"]["present"]
            program.check(present == 0, f"{behavior['name']} was not planted, found {present}")


with program.temporary_directory() as name:
    size = int(sys.argv[sys.argv.index("--hacking") + 1]) if "--hacking" in sys.argv else 0
    rate = 0.00035 if size else 0.02
    scenario = pathlib.Path(name) / "scenario.toml"
    scenario.write_text(SCENARIO.replace("HACKS", str(rate)))
    with program.mock_server("--scenario", str(scenario)) as mock:
        for part, of in (("trajectories", trajectories), ("faults", faults)):
            if not size:
                (pathlib.Path(name) / part).mkdir()
                of(pathlib.Path(name) / part, mock)
        (pathlib.Path(name) / "hacking").mkdir()
        hacking(pathlib.Path(name) / "hacking", mock, size or 1500, rate)
