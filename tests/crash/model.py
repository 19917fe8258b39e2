"""A file system as POSIX leaves it to be, for one purpose: what may a power cut
leave of a recorded run?

The rules, which are harsher than any of ext4, xfs and btrfs:

* What is written to a file lasts when that file has been synced. Of writes after
  that, any may have happened and any not; one that has may be torn, at multiples
  of 512 octets, and a file may be as long as a write made it with zeros where the
  data should be.
* A change of names lasts when a folder that it is about has been synced. Of later
  changes, any may have happened and any not, in any order, except that
  - one change is whole: a rename does not leave both names, or none;
  - a change needs the earlier changes of the same name, and the creation of its
    folder; the removal of a folder needs all that happened in it.
* Syncing a file says nothing of its name, and syncing a folder nothing of the
  files in it.
"""

SECTOR = 512
POLICIES = ("none", "all", "some", "torn")


class File:
    def __init__(self):
        self.durable = b""  # never changed in place: states share it
        self.current = bytearray()
        self.pending = []  # ("write", offset, octets) or ("size", octets)

    def change(self, *change):
        self.pending.append(change)
        apply(self.current, change)

    def sync(self):
        if self.pending:
            self.durable = bytes(self.current)
            self.pending = []

    def after(self, policy, random):
        """Its octets after a cut."""
        if policy == "all" and self.pending:
            return bytes(self.current)
        if policy in ("none", "all") or not self.pending:
            return self.durable
        octets = bytearray(self.durable)
        for change in self.pending:
            if random.random() < 0.5:
                continue
            if policy == "torn" and change[0] == "write":
                tear(octets, change, random)
            else:
                apply(octets, change)
        return bytes(octets)


class Folder:
    pass


def apply(octets, change):
    if change[0] == "size":
        del octets[change[1]:]
        octets.extend(bytes(change[1] - len(octets)))
    else:
        offset, data = change[1:]
        if len(octets) < offset:
            octets.extend(bytes(offset - len(octets)))
        octets[offset:offset + len(data)] = data


def tear(octets, change, random):
    """Some of a write's sectors; the file's size counts as one of them."""
    offset, data = change[1:]
    end = offset + len(data)
    at = offset
    while at < end:
        next_one = min(end, (at // SECTOR + 1) * SECTOR)
        if random.random() < 0.5:
            apply(octets, ("write", at, data[at - offset:next_one - offset]))
        at = next_one
    if len(octets) < end and random.random() < 0.5:
        octets.extend(bytes(end - len(octets)))


class Change:
    """A change of names: for each (folder, name), what it leads to now (or None).
    needs: the changes without which it cannot be."""

    __slots__ = ("to", "needs", "number")

    def __init__(self, to, needs, number):
        self.to, self.needs, self.number = to, needs, number


class Disk:
    """Paths are relative to the top, which is always there."""

    def __init__(self):
        self.top = Folder()
        self.durable = {}  # (folder, name): File or Folder
        self.current = {}
        self.pending = []  # Changes, in order
        self.last = {}  # (folder, name): the last pending Change of it
        self.made = {}  # Folder: the pending Change that made it
        self.numbers = 0

    # --- looking ---

    def find(self, path):
        at = self.top
        for name in path.split("/") if path else []:
            at = self.current.get((at, name))
        return at

    def place(self, path):
        """(folder, name) of a path; its folder must be there."""
        above, _, name = path.rpartition("/")
        folder = self.find(above)
        if not isinstance(folder, Folder):
            raise KeyError(f"{path}: its folder is not there")
        return folder, name

    # --- the calls that were recorded ---

    def change(self, to):
        needs = {self.last[place] for place in to if place in self.last}
        needs |= {self.made[folder] for folder, _ in to
                  if folder in self.made}
        for place, node in to.items():
            gone = self.current.get(place)
            if node is None and isinstance(gone, Folder):
                needs |= {change for change in self.pending
                          if any(folder is gone for folder, _ in change.to)}
        self.numbers += 1
        new = Change(to, needs, self.numbers)
        self.pending.append(new)
        for place, node in to.items():
            self.last[place] = new
            if node is None:
                self.current.pop(place, None)
            else:
                self.current[place] = node
        return new

    def create(self, path):
        place = self.place(path)
        if place not in self.current:
            self.change({place: File()})

    def mkdir(self, path):
        place, new = self.place(path), Folder()
        self.made[new] = self.change({place: new})

    def write(self, path, offset, octets):
        self.find(path).change("write", offset, octets)

    def truncate(self, path, size):
        self.find(path).change("size", size)

    def rename(self, path, other):
        old, new = self.place(path), self.place(other)
        node = self.current[old]
        if old != new:
            self.change({new: node, old: None})

    def link(self, path, other):
        self.change({self.place(other): self.current[self.place(path)]})

    def unlink(self, path):
        self.change({self.place(path): None})

    rmdir = unlink

    def sync(self, path):
        node = self.find(path)
        if isinstance(node, File):
            node.sync()
        elif node is not None:
            self.settle([change for change in self.pending
                         if any(folder is node for folder, _ in change.to)])

    def sync_all(self):
        """What is there at the start lasts."""
        self.settle(list(self.pending))
        for node in self.current.values():
            if isinstance(node, File):
                node.sync()

    def settle(self, changes):
        """Makes these changes last, and what they need."""
        lasting = closure(changes)
        for change in sorted(lasting, key=lambda one: one.number):
            put(self.durable, change)
        self.pending = [one for one in self.pending if one not in lasting]
        for one in self.pending:
            one.needs -= lasting
        for table in (self.last, self.made):
            for key in [key for key, one in table.items() if one in lasting]:
                del table[key]

    # --- after a cut ---

    def state(self, policy, random):
        """What is left: {path: octets, or None for a folder}."""
        if policy == "none":
            names = self.durable
        elif policy == "all":
            names = self.current
        else:
            chosen = closure([one for one in self.pending
                              if random.random() < 0.5])
            names = dict(self.durable)
            for change in self.pending:
                if change in chosen:
                    put(names, change)
        inside = {}
        for (folder, name), node in names.items():
            inside.setdefault(folder, []).append((name, node))
        found, left = {}, [("", self.top)]
        while left:
            path, folder = left.pop()
            for name, node in inside.get(folder, ()):
                below = f"{path}/{name}" if path else name
                if isinstance(node, Folder):
                    found[below] = None
                    left.append((below, node))
                else:
                    found[below] = node.after(policy, random)
        return found


def closure(changes):
    found, left = set(), list(changes)
    while left:
        change = left.pop()
        if change not in found:
            found.add(change)
            left += change.needs
    return found


def put(names, change):
    for place, node in change.to.items():
        if node is None:
            names.pop(place, None)
        else:
            names[place] = node
