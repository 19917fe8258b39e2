# keepmail: one Makefile, read from top to bottom.
#
#   make            builds every program into build/
#   make check      what tools/check runs once its set-up is done: all tests
#   make install    as root: programs, folders and manuals (see INSTALL)
#
# Settings that a packager may change.
CC = gcc
PREFIX = /usr
LIBEXEC = $(PREFIX)/libexec/keepmail
HOME_DIR = /var/lib/keepmail
STATIC = 1
CFLAGS =
LDFLAGS =

# Flags that are needed for correctness, and the warnings that we keep clean
# under gcc and clang.
STANDARD = -std=c11 -D_GNU_SOURCE -I. -DKEEPMAIL_HOME='"$(HOME_DIR)"' \
	-DKEEPMAIL_LIBEXEC='"$(LIBEXEC)"'
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wformat=2 -Wwrite-strings -Wundef
HARDENING = -O2 -g -fstack-protector-strong -fPIE
ALL_CFLAGS = $(STANDARD) $(WARNINGS) $(HARDENING) $(CFLAGS)
ALL_LDFLAGS = -Wl,-z,relro,-z,now $(LDFLAGS)

# Programs that run once a connection or once a message are linked static-pie
# (no NSS in them); those that look up system users stay dynamic.
ifeq ($(STATIC),1)
HOT = -static-pie
else
HOT = -pie
endif

SKALIBS = -lskarnet
RESOLV = -lresolv
CRC = -lz
CRYPT = -lcrypt

# What two or more programs share. The archive lets each program take only what
# it uses; the lists of objects below say what a program is made of.
LIB = lib/accounts.o lib/address.o lib/addresslist.o lib/date.o \
	lib/deadline.o lib/descriptors.o lib/domains.o lib/dots.o \
	lib/durable.o lib/envelope.o lib/escape.o lib/fields.o lib/frames.o \
	lib/home.o lib/ident.o lib/line.o lib/log.o lib/output.o lib/pack.o \
	lib/records.o lib/reply.o lib/role.o lib/role_filter.o lib/service.o \
	lib/settings.o

# Each program: its own objects, then those of other departments that it uses.
smtpd = smtpd/smtpd.o smtpd/verbs.o smtpd/verb_hello.o smtpd/verb_mail.o \
	smtpd/verb_rcpt.o smtpd/verb_data.o smtpd/verb_rest.o smtpd/policy.o \
	smtpd/trace.o queue/submit.o local/resolve_ask.o
queue-inject = queue/inject.o queue/layout.o queue/message_file.o \
	queue/wakeup.o
queue-submit = queue/queue_submit.o queue/submit.o
queue-runner = queue/runner.o queue/layout.o queue/message_file.o \
	queue/job_file.o queue/wakeup.o queue/submit.o queue/scan.o \
	queue/schedule.o queue/jobs.o queue/bounce.o remote/route.o
remote = remote/remote.o remote/worker.o remote/client.o remote/dns.o \
	remote/mx.o remote/route.o queue/layout.o queue/job_file.o \
	queue/message_file.o queue/wakeup.o
local = local/local.o local/loop.o local/resolve_ask.o local/warden_ask.o \
	queue/layout.o queue/job_file.o queue/message_file.o queue/wakeup.o
resolve = local/resolve.o local/account.o local/warden_ask.o \
	lib/accounts_system.o
warden = local/warden.o local/deliver.o local/instructions.o local/maildir.o \
	local/program.o local/loop.o pop3d/session.o pop3d/commands.o \
	pop3d/maildrop.o pop3d/retrieve.o queue/submit.o lib/accounts_system.o
pop3d = pop3d/login.o pop3d/auth_ask.o
authd = tools/authd.o tools/secrets.o local/warden_ask.o \
	lib/accounts_system.o

NETWORK_PROGRAMS = smtpd pop3d
SERVICES = queue-inject queue-runner remote local resolve warden authd
