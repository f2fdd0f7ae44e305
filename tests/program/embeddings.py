"""Groups of embeddings, end to end: answers about one thing in ever other words are found as a
group; nothing is asked twice, also after kill -9; vectors that are none are counted by their fault,
and a server without the endpoint costs nothing but the groups."""

import json
import math
import pathlib
import shutil
import signal
import subprocess
import time
import tomllib

import program

CONVERSATIONS = 1200
USERS = 600
TOPIC = (
    "orchard harvest apples plough barley tractor meadow cattle fences seeds compost irrigation "
    "poultry grain barn shepherd wool hay vineyard beehive dairy pasture silo crops"
).split()
DIMENSIONS = 32
CONNECTIONS = 8


def answer(question, model):
    numbers = program.numbers_of(question, model)
    words = program.sentence(numbers, 15)[:-1].split()
    if model == "candidate" and numbers.random() < 0.08:
        for place in (2, 5, 8, 11, 14):  # each time other words of the same thing
            words[place] = numbers.choice(TOPIC)
    elif model == "candidate" and numbers.random() < 0.1:
        words[:2] = ["Great", "catch"]
    return " ".join(words) + "."


def vector_of(text):
    """Words of the topic mean the same, all others something of their own."""
    vector = [0.0] * DIMENSIONS
    for word in text.lower().rstrip(".").split():
        place = 0 if word in TOPIC else 1 + program.numbers_of(word).randrange(DIMENSIONS - 1)
        vector[place] += 1
    return vector


class Server(program.Handler):
    mode = "good"
    delay = 0
    asked = 0  # for embeddings
    texts = set()
    faults = {}

    def embedding(self, text):
        Server.asked += 1
        Server.texts.add(text)
        time.sleep(Server.delay)
        if Server.mode == "missing":
            return 404, {"error": {"code": "unknown_url", "message": "x"}}
        vector = vector_of(text)
        if Server.mode == "same":
            vector = [0.5] * DIMENSIONS
        if Server.mode == "bad":
            kinds = ("nan", "null", "text", "zero_vector", "wrong_size", "good", "good", "good")
            kind = program.numbers_of(text, "bad").choice(kinds)
            Server.faults[text] = kind
            if kind in ("nan", "null", "text"):
                vector[3] = {"nan": math.nan, "null": None, "text": "0.5"}[kind]
            vector = [0] * DIMENSIONS if kind == "zero_vector" else vector
            vector = vector[:-1] if kind == "wrong_size" else vector
        return 200, {
            "data": [{"index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": 10, "total_tokens": 10},
        }

    def do_POST(self):
        request = self.document()
        if self.path == "/v1/embeddings":
            program.check(set(request) == {"model", "input"}, f"asked with {set(request)}")
            status, reply = self.embedding(request["input"])
        else:
            said = answer(request["messages"][-1]["content"], request["model"])
            message = {"role": "assistant", "content": said}
            status, reply = 200, {"choices": [{"message": message, "finish_reason": "stop"}]}
        self.reply(reply, status)


def write_logs(path):
    numbers = program.numbers_of("logs")
    with open(path, "w", encoding="utf-8") as file:
        for index in range(CONVERSATIONS):
            question = program.sentence(numbers, 12)[:-1] + "?"
            record = {
                "id": f"c{index}",
                "metadata": {"user": f"u{numbers.randrange(USERS)}"},
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer(question, "logged")},
                ],
            }
            file.write(json.dumps(record) + "\n")


with program.temporary_directory() as folder, program.serving(Server) as server:
    folder = pathlib.Path(folder)
    logs = folder / "logs.jsonl"
    write_logs(logs)

    def study_with(name, role="embedder", **more):
        return program.write_study(
            folder / name,
            logs,
            logs={"cluster": "metadata.user"},
            sample={"prefixes": CONVERSATIONS},
            grade={"behaviors": ["refusal"]},
            candidate={"model": "vllm/candidate"},
            replay={"max_connections": CONNECTIONS},
            roles={role: "vllm/embedder"},
            **more,
        )

    def discover(study, *flags, server=server, expect=0):
        arguments = ("discover", study, *flags, "--display", "none")
        return program.understudy(*arguments, server=server, expect=expect)

    def found_in(study, *flags, **more):
        return json.loads(discover(study, "--json", *flags, **more).stdout)

    def clusters_of(found):
        return [f for f in found["findings"] if f["features"][0].startswith("cluster: ")]

    study_with("without", "judge")
    program.understudy("run", folder / "without", server=server)
    discover(folder / "without", "--embed", expect=2)
    alone = found_in(folder / "without")
    program.check(alone["embeddings"] is None, f"{alone['embeddings']}")

    def fresh(name, **more):
        shutil.copytree(folder / "without", folder / name)
        return study_with(name, **more)

    # Found: as a group, which no single word is.
    study = fresh("study")
    program.check(found_in(study) == alone, "nothing is stored, and something changed")
    found = found_in(study, "--embed")
    of_all = found["embeddings"]
    print(of_all)
    program.check(of_all["vectors"] == of_all["answers"] == 2 * CONVERSATIONS, f"{of_all}")
    program.check(of_all["clusters"] > 1 and of_all["why_none"] is None, f"{of_all}")
    program.check(Server.asked == len(Server.texts), "a text was asked about twice")
    cluster = clusters_of(found)[0]
    print({key: cluster[key] for key in ("number", "features", "words", "p_adjusted")})
    program.check(cluster["number"] <= 2 and cluster["direction"] == "more", f"{cluster}")
    program.check(cluster["p_adjusted"] < 0.01, f"not sure of it: {cluster}")
    program.check(set(cluster["words"]) <= set(TOPIC), f"words: {cluster['words']}")
    shown = discover(study, "--show", str(cluster["number"])).stdout
    about = [line for line in shown.splitlines() if line.startswith("  answer:")]
    program.check(len(about) == 10, shown)
    program.check(all(any(word in line for word in TOPIC) for line in about), shown)
    program.check("words: " + cluster["words"][0] in discover(study).stdout, "no words shown")
    draft = folder / "draft.toml"
    discover(study, "--draft", str(cluster["number"]), "-o", str(draft))
    drafted = tomllib.loads(draft.read_text())
    program.check(drafted["decided_by"] == "judge" and "| hay" in drafted["definition"], f"{drafted}")
    for example in drafted["example"]:
        is_about = any(word in example["answer"] for word in TOPIC)
        program.check(is_about == (example["expect"] == "present"), f"{example}")
        program.check(example["from_logs"], "a forecast would publish it")
    program.check(len(found["findings"]) > len(clusters_of(found)), "the other features are lost")

    # Asked once.
    asked = Server.asked
    program.check(found_in(study, "--embed") == found, "the second time is another result")
    program.check(found_in(study, server=None) == found, "without a server is another result")
    program.check(Server.asked == asked, f"asked again: {Server.asked - asked}")

    # Killed, and gone on: only what was in flight is asked again.
    killed = fresh("killed")
    Server.asked, Server.delay = 0, 0.005
    process = subprocess.Popen(
        [program.PROGRAM, "discover", str(killed), "--embed", "--display", "none"],
        env=program.environment(server),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while Server.asked < 300:
        program.check(process.poll() is None, "it ended before it was killed")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    program.check(found_in(killed, "--embed") == found, "after kill -9 is another result")
    again = Server.asked - asked
    program.check(0 <= again <= CONNECTIONS, f"{again} texts were asked about again")
    Server.delay = 0

    # A budget pauses it; what is stored is used meanwhile.
    poor = fresh("poor", budget={"tokens": 6000})
    paused = discover(poor, "--embed", expect=5).stderr
    program.check("embeddings are stored" in paused, paused)
    partly = found_in(poor)["embeddings"]
    program.check(600 <= partly["vectors"] <= 600 + CONNECTIONS, f"{partly}")
    program.check(partly["vectors"] + partly["left"] == partly["answers"], f"{partly}")
    fresh_budget = study_with("poor", budget={"tokens": 60_000})
    program.check(found_in(fresh_budget, "--embed") == found, "after a pause is another result")

    # A server without the endpoint.
    Server.mode, Server.asked = "missing", 0
    missing = fresh("missing")
    none = found_in(missing, "--embed", expect=6)
    program.check(none["findings"] == alone["findings"], "the other features found other things")
    program.check(none["embeddings"]["clusters"] == 0, f"{none['embeddings']}")
    failed = none["embeddings"]["failed"]
    program.check(list(failed) == ["bad_request: HTTP 404 unknown_url"], f"{failed}")
    program.check(20 <= Server.asked <= 20 + 2 * CONNECTIONS, f"asked {Server.asked} times")
    asked = Server.asked
    text = discover(missing, "--embed", expect=6).stdout
    program.check("HTTP 404" in text and "No groups" in text, text)
    program.check(Server.asked == asked, "asked again")
    Server.mode = "good"
    repaired = found_in(missing, "--embed", "--retry-errors")
    program.check(repaired == found, "once there is an endpoint it is another result")

    # Vectors that are none, or of another size.
    Server.mode, Server.faults = "bad", {}
    bad = found_in(fresh("bad"), "--embed", expect=6)["embeddings"]
    kinds = list(Server.faults.values())
    print("bad:", bad)
    expected = {
        "not_numbers": sum(kinds.count(kind) for kind in ("nan", "null", "text")),
        "zero_vector": kinds.count("zero_vector"),
        "wrong_size": kinds.count("wrong_size"),
    }
    program.check(bad["failed"] == expected, f"{bad['failed']}, expected {expected}")
    program.check(bad["vectors"] == kinds.count("good"), f"{bad}")
    program.check(bad["dimensions"] == DIMENSIONS and bad["left"] == 0, f"{bad}")
    Server.mode, asked = "good", Server.asked
    repaired = found_in(folder / "bad", "--embed", "--retry-errors")
    again = Server.asked - asked
    program.check(again == sum(expected.values()), f"asked {again} again, not {expected}")
    program.check(repaired == found, "once the vectors are good it is another result")

    # One group: it tells nothing, and says so.
    Server.mode = "same"
    same = found_in(fresh("same"), "--embed")
    program.check("all vectors are the same" in same["embeddings"]["why_none"], f"{same}")
    program.check(same["findings"] == alone["findings"], "the other features found other things")
