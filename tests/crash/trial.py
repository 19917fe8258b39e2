"""States that a power cut may have left, each tried with the real programs."""

import os
import queue
import threading

import host as crash
import recording


def run(host, promise):
    """Starts keepmail on what stands in its home; complaints about the end."""
    complaints = []
    if not host.is_quiet():
        host.start_all()
        if not host.settle(20):
            complaints.append(f"the queue is not empty: {host.files()}")
        host.stop_all()
    for path in host.files(("doubtful",)):
        if os.path.basename(path) in promise.accepted:
            complaints.append(f"{path} is accepted mail")
    seen, wrong = host.seen()
    complaints += wrong + promise.complaints(seen)
    if complaints:
        complaints.append(host.logs())
    return complaints


class Lanes:
    """So many hosts that try states at one time. results gets (what the state is
    called, complaints) of each."""

    def __init__(self, folder, peer, count):
        self.states, self.results = queue.Queue(4 * count), []
        self.lanes = [
            threading.Thread(target=self.work, args=(
                crash.Host(folder, f"h{n}", peer).make(),))
            for n in range(count)]

    def __enter__(self):
        for lane in self.lanes:
            lane.start()
        return self

    def __exit__(self, *_):
        for _ in self.lanes:
            self.states.put(None)
        for lane in self.lanes:
            lane.join()

    def put(self, name, state, promise):
        self.states.put((name, state, promise))

    def work(self, host):
        while True:
            item = self.states.get()
            if item is None:
                return
            name, state, promise = item
            try:
                recording.unload(state, host)
                host.peer.forget(host.name)
                complaints = run(host, promise)
            except Exception as error:  # told of as that state's failure
                complaints = [repr(error)]
                host.stop_all()
            self.results.append((name, complaints))
