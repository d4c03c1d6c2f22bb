"""A child process for the tests of imagineer/children.py: does what its requests say."""

import json
import os
import sys
import time


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    request = json.loads(line)
    job, act = request.get("job"), request.get("act")
    if request["op"] == "cancel":
        say(type="cancelled", job=job)
    elif act == "work":
        say(type="progress", job="somebody else's", done=99)
        for done in (1, 2):
            say(type="progress", job=job, done=done)
        sys.stderr.write("a line for the log\n")
        say(type="result", job=job, answer=sorted(os.environ))
    elif act == "fail":
        say(type="error", job=job, message="It can't be done.")
    elif act == "die":
        os.kill(os.getpid(), 9)
    elif act == "babble":
        sys.stdout.write("this is no JSON\n")
        sys.stdout.write("[1, 2]\n")
        say(type="result", job=job)
    elif act == "hang":
        if os.fork() == 0:
            time.sleep(600)
        time.sleep(600)
    elif act == "wait":
        say(type="progress", job=job, done=1)
