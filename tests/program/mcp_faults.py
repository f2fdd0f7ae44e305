"""A Model Context Protocol server that misbehaves as its argument says; the tool `add` counts."""

import json
import sys
import time

mode = sys.argv[1]
count = 0
held = []


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def result_of(message):
    global count
    if message["method"] == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}
    if message["method"] == "tools/list":
        if mode == "pages" and "cursor" not in message["params"]:
            return {"tools": [{"name": "get"}], "nextCursor": "2"}
        return {"tools": [{"name": "add"}, {"name": "fail"}]}
    if message["params"]["name"] == "fail":
        return {"content": [{"type": "text", "text": "no"}], "isError": True}
    count += 1
    return {"content": [{"type": "text", "text": str(count)}, {"type": "image", "data": ""}]}


if mode == "silent":
    time.sleep(600)
if mode == "exits":
    sys.exit(3)
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    calls = message["method"] == "tools/call"
    if calls and mode == "dies":
        sys.exit(1)
    if calls and mode == "hangs":
        time.sleep(600)
    if calls and mode == "floods_a_line":
        while True:
            sys.stdout.write("x" * 65536)
    if calls and mode == "floods_with_notifications":
        while True:
            send({"method": "notifications/message", "params": {"data": "x" * 1000}})
    if calls and mode == "nonsense":
        print("Listening on port 8080", flush=True)
        continue
    if calls and mode == "dies_once_at_3" and count == 2 and not sys.argv[2:]:
        sys.exit(1)
    if calls and mode == "asks":
        send({"id": "mine", "method": "ping"})
        assert json.loads(sys.stdin.readline())["result"] == {}
        send({"id": 1, "method": "sampling/createMessage"})
        assert json.loads(sys.stdin.readline())["error"]["code"] == -32601
        send({"method": "notifications/progress"})
        send({"id": 999, "result": {}})
    reply = {"id": message["id"], "result": result_of(message)}
    if calls and mode == "reversed":
        held.append(reply)
        if len(held) < 3:
            continue
        for one in reversed(held):
            send(one)
        held = []
        continue
    send(reply)
