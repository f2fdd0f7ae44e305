"""Servers that answer wrongly: each a named failure in the report, and the key is nowhere."""

import http.server
import json
import pathlib
import resource
import socketserver
import threading

import program

KEY = "sk-very-secret-key"
GIB = 1 << 30


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers every request as the test says; keeps the headers that it got."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(dict(self.headers))
        self.server.answer(self)

    def log_message(self, *_):
        pass

    def send(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def gigabyte(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(GIB))
    handler.end_headers()
    block = b"x" * (1 << 20)
    try:
        for _ in range(GIB // len(block)):
            handler.wfile.write(block)
    except OSError:
        pass  # the client has had enough


def echoing(status):
    """An error that quotes what it was sent, as careless gateways do."""

    def answer(handler):
        authorization = handler.headers["Authorization"]
        error = {"message": f"bad header {authorization}", "code": KEY, "type": authorization}
        body = json.dumps({"error": error}).encode()
        handler.send(status, body, X_Echo=authorization, Retry_After="60")

    return answer


good = json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}).encode()
elsewhere = Server(lambda handler: handler.send(200, good))

CASES = {
    "html": ("not_json", lambda handler: handler.send(200, b"<html>sign in, please</html>")),
    "empty": ("not_json", lambda handler: handler.send(200, b"")),
    "half": ("not_json", lambda handler: handler.send(200, good[: len(good) // 2])),
    "error_in_200": ("error_in_body", echoing(200)),
    "gigabyte": ("body_too_large", gigabyte),
    "redirect": (
        "redirect",
        lambda handler: handler.send(
            307, b"", Location=elsewhere.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        ),
    ),
    "unauthorized": ("unauthorized", echoing(401)),
    "bad_request": ("bad_request", echoing(400)),
    "rate_limited": ("rate_limited", echoing(429)),
    "server_error": ("server_error", echoing(500)),
}

with program.temporary_directory() as folder:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    program.write_logs(logs, conversations=3)

    def run(name, url, deadline_s=3):
        study = program.write_study(
            folder / name,
            logs,
            sample={"prefixes": 3},
            candidate={"model": "openai/gpt", "base_url": url},
            replay={"deadline_s": deadline_s},
        )
        env = program.environment(OPENAI_API_KEY=KEY)
        done = program.understudy("run", study, "--display", "plain", expect=6, env=env)
        program.check(KEY not in done.stdout + done.stderr, f"{name}: the key is in the output")
        for path in study.rglob("*"):
            if path.is_file():
                kept = KEY.encode() in path.read_bytes()
                program.check(not kept, f"{name}: the key is in {path}")
        return json.loads((study / "report.json").read_text())

    for name, (reason, answer) in CASES.items():
        server = Server(answer)
        report = run(name, server.url, 120 if name == "gigabyte" else 3)
        program.check_counts(report)
        draws = report["counts"]["draws"]["candidate"]
        program.check(draws["failed"] == {reason: 3}, f"{name}: {draws}")
        program.check(
            all(seen["Authorization"] == f"Bearer {KEY}" for seen in server.seen) and server.seen,
            f"{name}: the server itself gets the key",
        )
        server.shutdown()

    server = Server(lambda handler: handler.send(200, good))
    report = run("tls", server.url.replace("http:", "https:"))
    draws = report["counts"]["draws"]["candidate"]
    program.check(draws["failed"] == {"tls": 3}, f"no TLS there: {draws}")
    program.check(not server.seen, "a request went out without TLS")
    program.check(not elsewhere.seen, f"a redirect was followed: {elsewhere.seen}")
    # A body that is too large is not kept in memory on the way to being refused.
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory {peak_kib >> 10} MiB")
    program.check(peak_kib << 10 < GIB * 3 // 4, f"{peak_kib} KiB of memory")
