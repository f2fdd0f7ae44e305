"""Logs of agents whose tools the mock server's agents call, and studies of them."""

import json
import random

import program

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": what,
            "parameters": {"type": "object", "properties": {argument: {"type": kind}}},
        },
    }
    for name, what, argument, kind in (
        ("lookup", "Looks an item up.", "item", "integer"),
        ("web_search", "Searches the web.", "query", "string"),
    )
]


def call(identity, item):
    # Other white space than the candidate's: the same call.
    arguments = json.dumps({"item": item}, indent=1)
    return {"id": identity, "type": "function", "function": {"name": "lookup", "arguments": arguments}}


def write_agent_logs(path, conversations, calls, parallel=1, seed=1):
    """Each conversation: a question, `calls` look-ups and an answer."""
    numbers = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(conversations):
            messages = [{"role": "user", "content": program.sentence(numbers, 12)[:-1] + "?"}]
            for first in range(0, calls, parallel):
                items = range(first, min(calls, first + parallel))
                made = [call(f"c{index}_{item}", item) for item in items]
                messages.append({"role": "assistant", "content": "", "tool_calls": made})
                for item in items:
                    result = {"item": item, "price": numbers.randrange(1000), "of": index}
                    messages.append(
                        {
                            "role": "tool",
                            "tool_call_id": f"c{index}_{item}",
                            "content": json.dumps(result),
                        }
                    )
            messages.append({"role": "assistant", "content": program.sentence(numbers, 25)})
            record = {"id": f"a{index}", "messages": messages, "tools": TOOLS}
            record["metadata"] = {"user": f"u{index // 2}"}
            file.write(json.dumps(record) + "\n")


def agent_study(directory, logs, model, prefixes, connections=64, cut="user", **tools):
    tools.setdefault("max_steps", 30)
    return program.write_study(
        directory,
        logs,
        logs={"cluster": "metadata.user"},
        sample={"prefixes": prefixes, "cut": cut},
        replay={"max_connections": connections},
        candidate={"model": model, "max_tokens": 192},
        tools=tools,
    )
