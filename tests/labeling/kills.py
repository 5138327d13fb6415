"""A journal whose writers are killed: run by test_journal.py in a process of its own, which forks cheaply.

Each writer labels ids one by one and says so on a pipe when the call has returned; it is killed at a random moment.
"""

import os
import random
import select
import signal
import sys
import time
import warnings

from skal.labeling import LabelJournal


def write(path, pipe, start, durable):
    journal = LabelJournal(path, durable=durable)
    for i in range(start, start + 100_000):
        journal.label(f"id {i}", i % 7)
        os.write(pipe, b"%d\n" % i)


def main(path, kills, durable):
    draw, said, begun = random.Random(0), set(), 0
    for _ in range(kills):
        outlet, inlet = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(outlet)
            write(path, inlet, begun, durable)
            os._exit(1)
        os.close(inlet)
        select.select([outlet], [], [], 10)
        time.sleep(draw.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        heard = b""
        while part := os.read(outlet, 1 << 16):
            heard += part
        os.close(outlet)
        said |= {int(line) for line in heard.split()}
        # The one that was being written may be there, and nothing else.
        begun = max(said) + 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with LabelJournal(path) as journal:
                labels = journal.labels()
        lost = {i for i in said if labels.get(f"id {i}") != i % 7}
        invented = {one for one, value in labels.items() if int(one[3:]) % 7 != value}
        extra = len(labels) - len(said)
        if lost or invented or extra > kills:
            return f"lost {sorted(lost)[:5]}, invented {sorted(invented)[:5]}, {extra} that nobody heard of"
    return f"{len(said)} labels"


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "durable"))
