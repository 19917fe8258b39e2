"""A scripted name server, as hostile as a test wants it, over UDP and TCP.

    with NameServer() as names:
        names.mx("far.test", (10, "mx.far.test"))
        names.a("mx.far.test", "127.0.0.23")
        names.aaaa("mx.far.test", "2001:db8::1")
        names.cname("www.far.test", "far.test")
        names.rr("far.test", MX, b"\\0\\x0a", ttl=0)  # any octets as RDATA
        … the resolver asks names.where, "127.0.0.1:PORT" …
        names.asked          # every query, as Query, in the order they came

It listens at one free port of an address for both transports, answers from its
table (NXDOMAIN for a name that stands nowhere, NOERROR without records for one that
has others; CNAMEs in the table are followed within the answer), and stops at the
end of the with. What is to go wrong is said for a name, or for all names (""):

    names.behave("far.test", SERVFAIL)

with one or more of the functions below or of the test's own. Each is called as
function(query, answer), the answer as octets, and gives octets, a list of octets
(several datagrams), or None (silence). A function with the attribute udp_only is
passed over for queries that came over TCP.

  silent            no answer at all
  code(number)      that RCODE and no records: SERVFAIL, REFUSED …
  header_only(code) 12 octets with that RCODE, no question
  no_edns(code)     that RCODE if the query has EDNS, else the true answer
  bad_version       the BADVERS of RFC 6891 if the query has EDNS
  truncated         over UDP: TC and no records; over TCP the true answer
  wrong_id, wrong_question, not_an_answer    the answer, spoilt, and nothing else
  spoofed           first those three, then the true answer
  lame              NOERROR, an NS record, neither AA nor RA
  authentic         the answer with AD
  cut(octets)       only so many of its octets
  padded(octets)    so many zeros behind its records
  counts_lie        one more answer record than there is
  raw(octets)       these octets behind header and question, as one answer record
"""

import socket
import struct
import threading

A, NS, CNAME, SOA, MX, AAAA, OPT = 1, 2, 5, 6, 15, 28, 41


def encode(name):
    """A name on the wire, without compression."""
    out = b""
    for label in name.strip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode("latin-1")
    return out + b"\0"


def record(owner, kind, data, ttl=300, kind_class=1):
    return owner + struct.pack("!HHIH", kind, kind_class, ttl & 0xffffffff,
                               len(data)) + data


class Query:
    """name (lower case), kind, is_tcp, has_edns, do (the DO bit), octets; at, the
    end of the question in them."""

    def __init__(self, octets, is_tcp):
        self.octets, self.is_tcp = octets, is_tcp
        labels, at = [], 12
        while octets[at]:
            labels.append(octets[at + 1:at + 1 + octets[at]].decode("latin-1"))
            at += 1 + octets[at]
        self.name = ".".join(labels).lower()
        self.kind = struct.unpack("!H", octets[at + 1:at + 3])[0]
        self.at = at + 5
        rest = octets[self.at:]
        self.has_edns = octets[10:12] == b"\0\1" and rest[:3] == b"\0\0\x29"
        self.do = self.has_edns and bool(rest[7] & 0x80)

    def answer(self, records=(), code=0, flags=0x8480, authority=(),
               additional=()):
        """A whole message; flags are QR, AA and RA."""
        return (self.octets[:2] + struct.pack(
            "!HHHHH", flags | (self.octets[2] & 1) << 8 | code, 1,
            len(records), len(authority), len(additional))
            + self.octets[12:self.at] + b"".join(records)
            + b"".join(authority) + b"".join(additional))


# --- what goes wrong

def silent(query, answer):
    return None


def code(number):
    return lambda query, answer: query.answer(code=number)


SERVFAIL, REFUSED = code(2), code(5)


def header_only(number):
    return lambda query, answer: query.octets[:2] + bytes(
        [0x80, 0x80 | number]) + bytes(8) if query.has_edns else answer


def no_edns(number):
    return lambda query, answer: query.answer(code=number) \
        if query.has_edns else answer


def bad_version(query, answer):
    if not query.has_edns:
        return answer
    return query.answer(additional=[record(b"\0", OPT, b"", 1 << 24, 1232)])


def truncated(query, answer):
    return answer if query.is_tcp else query.answer(flags=0x8680)


def wrong_id(query, answer):
    return bytes([answer[0] ^ 1]) + answer[1:]


def wrong_question(query, answer):
    return answer[:13] + bytes([answer[13] ^ 1]) + answer[14:]


def not_an_answer(query, answer):
    return answer[:2] + bytes([answer[2] & 0x7f]) + answer[3:]


def spoofed(query, answer):
    return [wrong_id(query, answer), wrong_question(query, answer),
            not_an_answer(query, answer), b"", answer[:5], answer]


spoofed.udp_only = True


def lame(query, answer):
    return query.answer(flags=0x8000, authority=[
        record(encode(query.name), NS, encode("ns.elsewhere.test"))])


def authentic(query, answer):
    return answer[:3] + bytes([answer[3] | 0x20]) + answer[4:]


def cut(octets):
    return lambda query, answer: answer[:octets]


def padded(octets):
    return lambda query, answer: answer + bytes(octets)


def counts_lie(query, answer):
    number = struct.unpack("!H", answer[6:8])[0] + 1
    return answer[:6] + struct.pack("!H", number) + answer[8:]


def raw(octets):
    return lambda query, answer: query.answer([octets])


# --- the server

class NameServer:
    def __init__(self, address="127.0.0.1"):
        self.table = {}   # (name, kind): [(data, ttl)]
        self.names = set()
        self.wrong = {}   # name: [functions]
        self.asked = []
        self.lock = threading.Lock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for attempt in range(20):
            self.tcp = socket.socket(family, socket.SOCK_STREAM)
            self.udp = socket.socket(family, socket.SOCK_DGRAM)
            self.tcp.bind((address, 0))
            self.port = self.tcp.getsockname()[1]
            try:
                self.udp.bind((address, self.port))
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        else:
            raise RuntimeError("no port is free for UDP and TCP")
        self.tcp.listen(50)
        self.where = f"[{address}]:{self.port}" if ":" in address \
            else f"{address}:{self.port}"
        self.threads = [threading.Thread(target=work, daemon=True)
                        for work in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    # --- the table

    def rr(self, name, kind, data, ttl=300):
        with self.lock:
            self.table.setdefault((name.lower(), kind), []).append((data, ttl))
            self.names.add(name.lower())

    def mx(self, name, *hosts, ttl=300):
        for preference, host in hosts:
            self.rr(name, MX, struct.pack("!H", preference) + encode(host),
                    ttl)

    def a(self, name, *addresses, ttl=300):
        for address in addresses:
            self.rr(name, A, socket.inet_aton(address), ttl)

    def aaaa(self, name, *addresses, ttl=300):
        for address in addresses:
            self.rr(name, AAAA, socket.inet_pton(socket.AF_INET6, address),
                    ttl)

    def cname(self, name, target, ttl=300):
        self.rr(name, CNAME, encode(target), ttl)

    def behave(self, name, *functions):
        """From now on; none: as usual again."""
        with self.lock:
            self.wrong[name.lower()] = functions

    def count(self, name, kind=None):
        """How often that was asked."""
        return sum(query.name == name and kind in (None, query.kind)
                   for query in self.asked)

    # --- answers

    def true_answer(self, query):
        records, name, seen = [], query.name, set()
        while True:
            records += [record(encode(name), query.kind, data, ttl)
                        for data, ttl in
                        self.table.get((name, query.kind), ())]
            alias = self.table.get((name, CNAME))
            if not alias or query.kind == CNAME or name in seen:
                break
            seen.add(name)
            data, ttl = alias[0]
            records.append(record(encode(name), CNAME, data, ttl))
            name = Query(bytes(12) + data + bytes(4), True).name
        return query.answer(records, 0 if name in self.names else 3)

    def replies(self, octets, is_tcp):
        try:
            query = Query(octets, is_tcp)
        except (IndexError, struct.error):
            return []
        with self.lock:
            self.asked.append(query)
            answer = self.true_answer(query)
            wrong = list(self.wrong.get(query.name, ())) or \
                list(self.wrong.get("", ()))
        for function in wrong:
            if not (is_tcp and getattr(function, "udp_only", False)):
                answer = function(query, answer)
        if answer is None:
            return []
        return answer if isinstance(answer, list) else [answer]

    def serve_udp(self):
        while True:
            try:
                octets, peer = self.udp.recvfrom(65536)
                for reply in self.replies(octets, False):
                    self.udp.sendto(reply, peer)
            except OSError:
                if self.udp.fileno() < 0:
                    return
            if not octets:
                return

    def serve_tcp(self):
        while True:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,),
                             daemon=True).start()

    def talk(self, client):
        with client, client.makefile("rb") as stream:
            client.settimeout(30)
            try:
                while len(head := stream.read(2)) == 2:
                    octets = stream.read(struct.unpack("!H", head)[0])
                    replies = self.replies(octets, True)
                    if not replies:
                        stream.read(1)  # until the client gives up
                        return
                    for reply in replies:
                        client.sendall(struct.pack("!H", len(reply)) + reply)
            except OSError:
                pass

    def close(self):
        # an empty datagram ends the wait in recvfrom
        with socket.socket(self.udp.family, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.udp.getsockname())
        self.tcp.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        self.udp.close()
        self.tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
