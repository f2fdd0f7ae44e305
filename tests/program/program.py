"""What the tests of the whole program share: a study on generated logs against a real mock server.

Each test is a plain script: it exits with an error at the first thing that is not as it should be.
UNDERSTUDY_PROGRAM names the program to test.
"""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

PROGRAM = os.environ["UNDERSTUDY_PROGRAM"]

WORDS = (
    "garden river music history table window market teacher planet engine letter doctor summer "
    "kitchen bridge picture number family morning country science village history answer question"
).split()


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def sentence(random_numbers, words):
    return " ".join(random_numbers.choice(WORDS) for _ in range(words)).capitalize() + "."


def write_logs(path, conversations, turns=2, users=None, seed=1):
    """Chat logs in the OpenAI shape: `turns` questions and answers a conversation."""
    numbers = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for index in range(conversations):
            messages = []
            for _ in range(turns):
                messages.append({"role": "user", "content": sentence(numbers, 12)[:-1] + "?"})
                messages.append({"role": "assistant", "content": sentence(numbers, 25)})
            record = {"id": f"c{index}", "messages": messages}
            if users:
                record["metadata"] = {"user": f"u{numbers.randrange(users)}"}
            file.write(json.dumps(record) + "\n")


def write_study(directory, log_path, **sections):
    """A study.toml; sections as dictionaries of TOML-ready values."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    sections.setdefault("logs", {})["paths"] = [str(log_path)]
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    (directory / "study.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


class MockServer:
    def __init__(self, process, url):
        self.process = process
        self.url = url

    def stats(self):
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def mock_server(*flags):
    process = subprocess.Popen(
        [PROGRAM, "mock-server", "--port", "0", *flags], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        check(line.startswith("listening on http://127.0.0.1:"), f"mock-server said {line!r}")
        yield MockServer(process, line.split()[-1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def numbers_of(*parts):
    """Random numbers that follow from the parts."""
    return random.Random(hashlib.sha256("|".join(map(str, parts)).encode()).digest())


class Handler(http.server.BaseHTTPRequestHandler):
    """Of a server on loopback whose client may be killed at any moment."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a reply in two packets waits for the acknowledgement of the first

    def document(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def reply(self, document, status=200):
        body = json.dumps(document).encode()  # writes NaN, as servers in Python do
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        with contextlib.suppress(ConnectionError):
            super().handle()

    def finish(self):
        with contextlib.suppress(ConnectionError):
            super().finish()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(handler):
    """A server of this handler, with room for many connections at once."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield MockServer(None, f"http://127.0.0.1:{server.server_address[1]}/v1")
    finally:
        server.shutdown()


@contextlib.contextmanager
def model_server(answer):
    """An OpenAI-compatible server whose models say answer(request): a text, a whole message, or the
    status of a failure. `asked` counts the requests of each model."""
    asked = {}

    class Models(Handler):
        def do_POST(self):
            request = self.document()
            said = answer(request)
            asked[request["model"]] = asked.get(request["model"], 0) + 1
            if isinstance(said, int):
                self.send_error(said)
                return
            message = said if isinstance(said, dict) else {"role": "assistant", "content": said}
            finish = "tool_calls" if "tool_calls" in message else "stop"
            self.reply(
                {
                    "id": "x",
                    "object": "chat.completion",
                    "model": request["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
                }
            )

    with serving(Models) as models:
        models.asked = asked
        yield models


def verdict(present):
    """What a judge answers about a conversation of one question."""
    word = "present" if present else "absent"
    return json.dumps({"reason": "r", "evidence": [2] if present else [], "verdict": word})


def environment(server=None, **more):
    values = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}
    if "XDG_CACHE_HOME" in os.environ:
        values["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]
    if "ASAN_OPTIONS" in os.environ:
        values["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"]
    if server:
        values["VLLM_BASE_URL"] = server.url
    return values


def understudy(*arguments, server=None, expect=0, timeout=300, env=None):
    """Runs the program to its end and checks the exit code."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        env=env or environment(server),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    check(
        done.returncode == expect,
        f"{' '.join(map(str, arguments))}: exit {done.returncode}, expected {expect}\n"
        f"{done.stdout}\n{done.stderr}",
    )
    return done


def check_counts(report):
    """The identities that interface and README promise."""
    conversations = report["counts"]["conversations"]
    check(
        conversations["read"] == conversations["eligible"] + sum(conversations["excluded"].values()),
        f"conversations do not add up: {conversations}",
    )
    prefixes = report["counts"]["prefixes"]
    check(
        prefixes["turns"] == prefixes["frame"] + sum(prefixes["excluded"].values()),
        f"turns do not add up: {prefixes}",
    )
    for arm, draws in report["counts"]["draws"].items():
        check(
            draws["completed"] + sum(draws["failed"].values()) == draws["requested"],
            f"draws of {arm} do not add up: {draws}",
        )
        for behavior in report["behaviors"]:
            verdicts = behavior["verdicts"].get(arm)
            if verdicts is None:
                continue
            total = (
                verdicts["present"]
                + verdicts["absent"]
                + sum(verdicts["ungradable"].values())
                + sum(verdicts["not_graded"].values())
            )
            check(
                total == draws["completed"],
                f"verdicts of {behavior['name']}, {arm}, do not add up: {verdicts}",
            )


def behavior_of(report, name):
    return next(behavior for behavior in report["behaviors"] if behavior["name"] == name)


def has_sandbox():
    """Whether this machine offers what command graders need."""
    if shutil.which("bwrap") is None:
        return False
    flags = ["--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/"]
    done = subprocess.run(["bwrap", *flags, "true"], capture_output=True, check=False)
    return done.returncode == 0


def temporary_directory():
    return tempfile.TemporaryDirectory(prefix="understudy_test_")


def run_through_kills(study, server, kills, pauses, least, verb="run", flags=()):
    """The verb with kill -9 after each pause (seconds), then to its end; how often it was killed."""
    command = [verb, study, *flags, "--display", "none"]
    done = 0
    while done < kills:
        run = subprocess.Popen(
            [PROGRAM, *map(str, command)],
            env=environment(server),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(pauses())
        if run.poll() is not None:
            break
        run.kill()
        run.wait()
        done += 1
    check(done >= least, f"the run ended after {done} kills: too early to mean anything")
    understudy(*command, server=server)
    return done


def check_asked_again(server, requests, kills, connections):
    """No more than what was in flight at each kill."""
    stats = server.stats()
    again = stats["requests"] - requests
    print(f"{kills} kills, {again} requests asked again, at most {kills * connections} allowed")
    check(stats["distinct_requests"] == requests, f"distinct requests: {stats}")
    check(0 <= again <= kills * connections, f"asked again: {again}")
