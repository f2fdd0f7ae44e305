"""A Model Context Protocol server over HTTP on loopback, which behaves as its argument says.

Prints its port. `add` counts, in a world for each session; `get` says the count. Modes: json, stream,
stays_open, asks, redirects, hangs, floods, floods_a_stream, nonsense, empty, drops, refuses, forgets,
changes (its `get` says that it destroys).
"""

import http.server
import json
import sys
import threading
import time
import uuid

mode = sys.argv[1]
sessions = {}
pongs = threading.Event()


def tools():
    get = {"name": "get", "inputSchema": {"type": "object"}}
    if mode == "changes":
        get["annotations"] = {"readOnlyHint": False, "destructiveHint": True}
    return [get, {"name": "add", "inputSchema": {"type": "object"}}]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self):
        sessions.pop(self.headers.get("Mcp-Session-Id"), None)
        self.reply(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        if self.path == "/elsewhere":
            sys.exit("a redirect was followed")
        if "method" not in message:
            pongs.set()
            return self.reply(202)
        if message["method"] == "initialize":
            session = str(uuid.uuid4())
            sessions[session] = 0
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            return self.reply(200, answer, headers=[("Mcp-Session-Id", session)])
        session = self.headers.get("Mcp-Session-Id")
        if session not in sessions or self.headers.get("MCP-Protocol-Version") != "2025-06-18":
            return self.reply(404)
        if "id" not in message:
            return self.reply(202)
        if message["method"] == "tools/list":
            return self.send_result(message, {"tools": tools()}, streamed=False)
        if self.misbehave():
            return None
        if message["params"]["name"] == "add":
            sessions[session] += 1
        text = {"type": "text", "text": str(sessions[session])}
        return self.send_result(message, {"content": [text]}, streamed=mode != "json")

    def misbehave(self):
        if mode == "redirects":
            self.reply(307, headers=[("Location", "/elsewhere")])
        elif mode == "hangs":
            time.sleep(600)
        elif mode == "floods":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.pour(b" " * 65536)
        elif mode == "floods_a_stream":
            self.begin_stream()
            note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 999}}
            self.pour(b"data: " + json.dumps(note).encode() + b"\n\n")
        elif mode == "nonsense":
            self.reply(200, b"<html>hello</html>")
        elif mode == "empty":
            self.reply(202)
        elif mode == "drops":
            self.close_connection = True
        elif mode == "refuses":
            self.reply(401)
        elif mode == "forgets":
            self.reply(404)
        else:
            return False
        return True

    def pour(self, block):
        self.close_connection = True
        try:
            while True:
                self.wfile.write(block)
        except OSError:
            pass

    def begin_stream(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()

    def send_event(self, message):
        text = json.dumps({"jsonrpc": "2.0", **message}, indent=1)
        lines = "".join(f"data: {line}\r\n" for line in text.split("\n"))
        self.wfile.write((": a comment\r\nevent: message\r\nid: 1\r\n" + lines + "\r\n").encode())
        self.wfile.flush()

    def send_result(self, message, result, streamed):
        answer = {"id": message["id"], "result": result}
        if not streamed:
            return self.reply(200, json.dumps({"jsonrpc": "2.0", **answer}).encode())
        self.begin_stream()
        if mode == "asks":
            self.send_event({"id": "mine", "method": "ping"})
            if not pongs.wait(20):
                return None
        self.send_event({"method": "notifications/progress", "params": {}})
        self.send_event(answer)
        if mode == "stays_open":
            time.sleep(600)
        return None


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
