#!/usr/bin/env python3
"""Real clients: swaks, curl, msmtp, postfix's smtp-source and nodemailer send; curl,
poplib, mpop, fetchmail, getmail6 and node-pop3 fetch. A client that is not installed is skipped, and says so."""

import os
import poplib
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap, wait_for
from instance import BUILD, Instance

tap = Tap()
TEXT = b"From: a@client.test\nSubject: by a client\n\nline one\n.two\n"


def client(name, host, *command, **more):
    """Runs a client if it is there; gives its result, or None."""
    if not shutil.which(command[0]):
        tap.skip(name, f"{command[0]} is not installed")
        return None
    run = subprocess.run(command, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60, **more)
    tap.ok(run.returncode == 0, name, run.stdout.decode(errors="replace")
           + host.logs())
    return run


NODE_SCRIPT = """
const mailer = require('nodemailer');
const [host, port, to] = process.argv.slice(1);
const transport = mailer.createTransport({host, port: Number(port),
  name: 'client.test', secure: false, ignoreTLS: true, pool: true,
  maxConnections: 1});
const message = (n) => ({from: 'Ann Ä <a@client.test>', to, subject: `node ${n} é`,
  text: '.one\\n..two\\n' + 'x'.repeat(3000), html: '<p>.</p>',
  attachments: [{filename: 'ä.bin', content: Buffer.alloc(100000, 10)}],
  dsn: {id: 'n' + n, return: 'headers', notify: 'failure', recipient: to}});
const [way, ca, user, pass] = process.argv.slice(4);
if (way) {
  // with TLS, and a login by each mechanism that it has
  const fs = require('fs');
  Promise.all(['PLAIN', 'LOGIN'].map((method) => {
    const one = mailer.createTransport({host: 'localhost', port: Number(port),
      name: 'client.test', secure: way === 'implicit', requireTLS: true,
      tls: {ca: fs.readFileSync(ca)}, authMethod: method,
      auth: {user, pass}});
    return one.sendMail({from: user, to, subject: way + ' ' + method,
      text: 'x'}).then((info) => console.log(info.response));
  })).catch((error) => { console.error(error); process.exitCode = 1; });
} else Promise.all([1, 2, 3].map((n) => transport.sendMail(message(n))))
  .then((all) => all.forEach((info) => console.log(info.response)))
  .catch((error) => { console.error(error); process.exitCode = 1; })
  .finally(() => transport.close());
"""


def fetched(name, what):
    """The folder with a client that is fetched, not installed; None: skipped."""
    folder = os.path.join(BUILD, "clients")
    tool = os.path.join(os.path.dirname(__file__), "..", "lib", "fetch-client")
    run = subprocess.run([tool, name, folder], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=120)
    if run.returncode == 0:
        return folder
    tap.note(run.stdout)
    tap.skip(what, f"{name} is not installed and cannot be fetched")
    return None


def smtp_source(host):
    """Sends 10 in each of two ways; gives their number."""
    program, environment = shutil.which("smtp-source"), dict(os.environ)
    if program is None:
        folder = fetched("smtp-source", "smtp-source sends")
        if folder is None:
            return 0
        program = f"{folder}/usr/sbin/smtp-source"
        environment["LD_LIBRARY_PATH"] = f"{folder}/usr/lib/postfix"
        run = subprocess.run(["ldd", program], stdout=subprocess.PIPE,
                             env=environment, text=True, timeout=60)
        if "not found" in run.stdout:
            tap.skip("smtp-source sends", "libraries of it are missing: "
                     + " ".join(line.split()[0] for line in
                                run.stdout.splitlines() if "not found" in line))
            return 0
    sent = 0
    for name, options in (("a session each", ()),
                          ("many in a session", ("-d",))):
        if client(f"smtp-source sends, {name}", host, program, *options, "-s",
                  "5", "-m", "10", "-l", "5000", "-M", "client.test", "-f",
                  "a@client.test", "-t", host.address,
                  f"{host.smtp_host}:{host.smtp_port}", env=environment,
                  stdin=subprocess.DEVNULL):
            sent += 10
    return sent


def nodemailer(host):
    """Sends 3 over one connection; gives their number."""
    if not shutil.which("node") or not shutil.which("npm"):
        tap.skip("nodemailer sends", "node and npm are not installed")
        return 0
    folder = fetched("nodemailer", "nodemailer sends")
    if folder is None:
        return 0
    run = client("nodemailer sends", host, "node", "-e", NODE_SCRIPT,
                 host.smtp_host, host.smtp_port, host.address,
                 cwd=f"{folder}/nodemailer", stdin=subprocess.DEVNULL)
    tap.same(run.stdout.count(b"250 2.0.0 Ok: queued as "), 3,
             "each is answered")
    try:
        socket.getaddrinfo("localhost", None)
    except OSError:
        tap.skip("nodemailer sends, logged in", "localhost has no address here")
        return 3
    for way, port in (("starttls", host.submission_port),
                      ("implicit", host.submissions_port)):
        run = client(f"nodemailer sends, {way}, logged in", host, "node", "-e",
                     NODE_SCRIPT, host.smtp_host, port, host.address, way,
                     host.tls_certificate, host.address, host.password,
                     cwd=f"{folder}/nodemailer", stdin=subprocess.DEVNULL)
        tap.same(run.stdout.count(b"250 2.0.0 Ok: queued as "), 2,
                 "by PLAIN and by LOGIN")
    return 7


def sending(host):
    sent = 0
    smtp = f"{host.smtp_host}:{host.smtp_port}"
    if client("swaks sends", host, "swaks", "--server", host.smtp_host,
              "--port", host.smtp_port, "--from", "a@client.test", "--to",
              host.address, "--helo", "client.test", stdin=subprocess.DEVNULL):
        sent += 1
    if client("swaks sends with pipelining", host, "swaks", "--server",
              host.smtp_host, "--port", host.smtp_port, "--from",
              "a@client.test", "--to", host.address, "--pipeline", "--helo",
              "client.test", stdin=subprocess.DEVNULL):
        sent += 1
    if client("curl sends", host, "curl", "-sS", f"smtp://{smtp}/client.test",
              "--mail-from", "a@client.test", "--mail-rcpt", host.address,
              "--upload-file", "-", input=TEXT.replace(b"\n", b"\r\n")):
        sent += 1
    if client("msmtp sends", host, "msmtp", f"--host={host.smtp_host}",
              f"--port={host.smtp_port}", "--auth=off", "--tls=off",
              "--from=a@client.test", "--", host.address, input=TEXT,
              env=dict(os.environ, HOME="/nonexistent")):
        sent += 1
    sent += smtp_source(host)
    by_node = nodemailer(host)
    sent += by_node
    tap.same(len(host.wait_delivered(sent)), sent, "all of it arrived")
    whole = [text for text in host.contents() if b"Subject: =?UTF-8?" in text]
    tap.ok(len(whole) == (3 if by_node else 0)
           and all(b"\n.one\n..two\n" in text for text in whole),
           "nodemailer's have their dots where they were", whole[:1])


def getmail(host, folder, number):
    """Fetches by getmail6 into a file."""
    source = fetched("getmail", "getmail6 fetches")
    if source is None:
        return
    got = f"{folder}/getmail"
    with open(f"{folder}/getmailrc", "w", encoding="ascii") as file:
        file.write(f"""[retriever]
type = SimplePOP3Retriever
server = {host.pop3_host}
port = {host.pop3_port}
username = {host.user_name}
password = {host.password}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >>{got}")
allow_root_commands = true
[options]
read_all = false
delete = false
delivered_to = false
""")
    os.chmod(f"{folder}/getmailrc", 0o600)
    for turn in ("getmail6 fetches", "and does not fetch twice"):
        if client(turn, host, "python3", f"{source}/usr/bin/getmail",
                  "--getmaildir", folder, "--rcfile", "getmailrc",
                  stdin=subprocess.DEVNULL, env=dict(os.environ, HOME=folder, PYTHONPATH=
                           f"{source}/usr/lib/python3/dist-packages")):
            with open(got, "rb") as file:
                tap.same(file.read().count(b"Delivered-To: "), number,
                         "getmail6 has every message")


POP3_SCRIPT = """
const Client = require('node-pop3');
const [host, port, user, password] = process.argv.slice(1);
const client = new Client({host, port: Number(port), user, password});
(async () => {
  const list = await client.UIDL();
  for (const [number] of list)
    if ((await client.RETR(number)).includes('Delivered-To: '))
      console.log('fetched ' + number);
  await client.QUIT();
})().catch((error) => { console.error(error); process.exitCode = 1; });
"""


def node_pop3(host, number):
    if not shutil.which("node") or not shutil.which("npm"):
        tap.skip("node-pop3 fetches", "node and npm are not installed")
        return
    folder = fetched("node-pop3", "node-pop3 fetches")
    if folder is None:
        return
    run = client("node-pop3 fetches", host, "node", "-e", POP3_SCRIPT,
                 host.pop3_host, host.pop3_port, host.user_name,
                 host.password, cwd=f"{folder}/node-pop3",
                 stdin=subprocess.DEVNULL)
    tap.same(run.stdout.count(b"fetched "), number,
             "node-pop3 has every message")


def fetching(host):
    number = len(host.delivered())
    url = f"pop3://{host.pop3_host}:{host.pop3_port}/"
    user = f"{host.user_name}:{host.password}"
    run = client("curl lists", host, "curl", "-sS", "-u", user, url)
    if run:
        tap.same(len(run.stdout.split(b"\r\n")) - 1, number,
                 "curl sees every message")
    run = client("curl fetches", host, "curl", "-sS", "-u", user, url + "1")
    if run:
        tap.ok(b"Delivered-To: " in run.stdout, "curl has the message",
               run.stdout)
    folder = tempfile.mkdtemp(prefix="keepmail-fetch.")
    try:
        for name in ("tmp", "new", "cur"):
            os.mkdir(os.path.join(folder, name))
        if client("mpop fetches", host, "mpop", f"--host={host.pop3_host}",
                  f"--port={host.pop3_port}", "--auth=user", "--tls=off",
                  f"--user={host.user_name}",
                  f"--passwordeval=printf %s '{host.password}'",
                  "--keep=on", f"--delivery=maildir,{folder}",
                  f"--uidls-file={folder}/uidls",
                  env=dict(os.environ, HOME="/nonexistent")):
            tap.same(len(os.listdir(os.path.join(folder, "new"))), number,
                     "mpop has every message")
        if shutil.which("fetchmail"):
            rc = os.path.join(folder, "rc")
            with open(rc, "w") as file:
                file.write(f"poll {host.pop3_host} protocol pop3 port "
                           f"{host.pop3_port} user \"{host.user_name}\" "
                           f"password \"{host.password}\" keep fetchall "
                           f"sslproto '' "
                           f"mda \"sh -c 'cat >>{folder}/fetched'\"\n")
            os.chmod(rc, 0o600)
            run = subprocess.run(["fetchmail", "-f", rc, "--nosyslog",
                                  "--pidfile", f"{folder}/pid", "-i",
                                  f"{folder}/ids"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, timeout=60,
                                 stderr=subprocess.STDOUT,
                                 env=dict(os.environ, FETCHMAILHOME=folder))
            tap.ok(run.returncode == 0, "fetchmail fetches",
                   run.stdout.decode(errors="replace"))
            with open(f"{folder}/fetched", "rb") as file:
                tap.same(file.read().count(b"Delivered-To: "), number,
                         "fetchmail has every message")
        else:
            tap.skip("fetchmail fetches", "fetchmail is not installed")
        getmail(host, folder, number)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    node_pop3(host, number)
    pop = host.pop3()
    unique = pop.uidl()[1]
    tap.same(len(unique), number, "poplib lists unique-ids")
    for n in range(1, number + 1):
        pop.dele(n)
    pop.quit()
    tap.same(host.delivered(), [], "poplib deletes everything")
    pop = poplib.POP3(host.pop3_host, int(host.pop3_port), timeout=30)
    pop.user(host.user_name)
    try:
        pop.pass_(host.password + "x")
        tap.ok(False, "a wrong password is refused")
    except poplib.error_proto as error:
        tap.ok(b"-ERR" in error.args[0], "a wrong password is refused", error)
    pop.close()


with Instance() as host:
    tap.case(sending, host)
    tap.case(fetching, host)
tap.done()
