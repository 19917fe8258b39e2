"""Hosts of a kind side by side, each of which tries points until there are none
left. Most of the time they wait, so there may be more of them than processors."""

import contextlib
import os
import queue
import shutil
import tempfile
import threading

import host as crash


@contextlib.contextmanager
def hosts(name, count):
    """So many hosts, and one peer for them, in a folder that goes in the end."""
    folder = tempfile.mkdtemp(prefix=f"keepmail-{name}.")
    os.chmod(folder, 0o755)
    try:
        peer = crash.Peer()
        yield [crash.Host(folder, f"h{n}", peer).make() for n in range(count)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def work(host, points, attempt, failed, results):
    host.start_all()
    try:
        while True:
            try:
                point = points.get_nowait()
            except queue.Empty:
                return
            try:
                results.append(attempt(host, *point))
            except Exception as error:  # told of as that point's failure
                results.append(failed(error, *point))
            host.revive()
    finally:
        host.stop_all()


def try_all(hosts_of, chosen, attempt, failed):
    """What attempt(host, *point) gave for each point, or failed(error, *point) if
    it ended with an exception; in no order."""
    points, results = queue.Queue(), []
    for point in chosen:
        points.put(point)
    lanes = [threading.Thread(target=work,
                              args=(host, points, attempt, failed, results))
             for host in hosts_of]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    return results
