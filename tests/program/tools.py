"""The dry run of a study's tools: who would answer each logged call, with no model and no tool asked."""

import json
import pathlib

import program

SEAT = {"type": "function", "function": {"name": "get_seat", "parameters": {"type": "object"}}}
UNUSED = {"type": "function", "function": {"name": "list_seats", "parameters": {"type": "object"}}}


def conversation(index, steps):
    messages = [{"role": "user", "content": "Is the seat free?"}]
    for number, (name, arguments, result) in enumerate(steps):
        call = {"name": name, "arguments": json.dumps(arguments)}
        calls = [{"id": f"call_{number}", "type": "function", "function": call}]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": result})
    messages.append({"role": "assistant", "content": "Yes."})
    return {"id": f"c{index}", "messages": messages, "tools": [SEAT, UNUSED]}


with program.temporary_directory() as folder, program.mock_server("--seed", "1") as server:
    logs = pathlib.Path(folder) / "logs.jsonl"
    conversations = [
        # The second look at seat 1 is in another state than the first.
        [("get_seat", {"id": 1}, "free"), ("book", {"id": 1}, "ok"), ("get_seat", {"id": 1}, "mine")],
        [("get_seat", {"id": 1}, "free"), ("book", {"id": 9}, "Error: no such seat")],
        [("get_seat", {"id": 2}, "free"), ("get_seat", {"id": 2.0}, "free"),
         ("get_seat", {"id": 5}, "free")],
    ]
    with open(logs, "w", encoding="utf-8") as file:
        for index, steps in enumerate(conversations):
            file.write(json.dumps(conversation(index, steps)) + "\n")

    def tools(**sections):
        study = program.write_study(
            pathlib.Path(folder) / ("study" + str(len(sections))), logs,
            candidate={"model": "vllm/mock"}, **sections)
        done = program.understudy("tools", study, "--json", "--display", "none", server=server)
        return {tool["name"]: tool for tool in json.loads(done.stdout)["tools"]}, study

    without, study = tools()
    program.check(list(without) == ["book", "get_seat", "list_seats"], f"tools {list(without)}")
    seat = without["get_seat"]
    program.check((seat["does"], seat["calls"], seat["errors"]) == ("reads", 6, 0), f"{seat}")
    answered = {level: count for level, count in seat["answered_by"].items() if count}
    program.check(answered == {"recorded": 2, "keyed": 2, "none": 2}, f"get_seat: {answered}")
    book = without["book"]
    program.check((book["does"], book["calls"], book["errors"]) == ("writes", 2, 1), f"{book}")
    program.check(book["answered_by"]["none"] == 2, f"{book}")
    program.check(without["list_seats"]["offered"] and without["list_seats"]["calls"] == 0, "offered")

    simulated, _ = tools(**{"roles": {"simulator": "vllm/mock"}})
    program.check(simulated["book"]["answered_by"]["simulated"] == 2, f"{simulated['book']}")

    # A server of one's own, and one of the real world: what it may be asked for, in a world that the
    # trajectory has not changed.
    own = ["python3", str(pathlib.Path(__file__).parent / "mcp_faults.py"), "plain"]
    served, _ = tools(
        tools={"max_steps": 9},
        **{
            "tools.servers.own": {"command": own},
            "tools.servers.real": {"url": "http://127.0.0.1:9/mcp", "only_reads": ["get_seat", "book"]},
            "tools.servers.gone": {"command": ["no-such-program"]},
        },
    )
    answered = {level: n for level, n in served["get_seat"]["answered_by"].items() if n}
    program.check(
        answered == {"recorded": 2, "keyed": 2, "connector": 1, "none": 1}, f"get_seat: {answered}")
    program.check(served["book"]["answered_by"]["none"] == 2, "a write would reach a connector")

    text = program.understudy("tools", study, "--display", "none", server=server).stdout
    program.check("nobody" in text and "get_seat" in text, text)
    program.check(server.stats()["requests"] == 0, "the dry run asked the model")
print("ok")
