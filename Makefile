# keepmail: one Makefile, read from top to bottom.
#
#   make                builds every program into build/
#   make unit           builds and runs the unit tests
#   make check          sh tools/check: set-up, build, all tests
#   make demo           sh tools/demo: one message in and out, to look at
#   make crash          every stop and power cut: minutes; disks with root
#   make bench          what it costs, beside postfix: minutes; see
#                       doc/performance.md
#   make fuzz           each fuzz target for FUZZ_SECONDS
#   make install        as root: programs, folders and manuals (see INSTALL)
#   make install-qmail-compat
#                       as root: qmail's names in /var/qmail, as links
#   make format         clang-format on every C file; format-check only tells
#   make clean          removes build/
#
# Settings that a packager may change.
CC = gcc
CLANG = clang
PREFIX = /usr/local
LIBEXEC = $(PREFIX)/libexec/keepmail
HOME_DIR = /var/lib/keepmail
DESTDIR =
QMAIL = /var/qmail
BUILD = build
STATIC = 1
MAIL = 1
CFLAGS =
LDFLAGS =
FUZZ_SECONDS = 60

# Flags that are needed for correctness, and the warnings that we keep clean
# under gcc and clang.
STANDARD = -std=c11 -D_GNU_SOURCE -I. -DKEEPMAIL_HOME='"$(HOME_DIR)"' \
	-DKEEPMAIL_LIBEXEC='"$(LIBEXEC)"' -DKEEPMAIL_PREFIX='"$(PREFIX)"'
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

# mail-show and mail-send need GMime; MAIL=0 leaves them out.
ifeq ($(MAIL),1)
MAIL_PROGRAMS = mail-show mail-send
endif

# skalibs is linked from its archive everywhere; of the others a program gets
# what its line below asks for.
SKALIBS = -l:libskarnet.a
RESOLV = -lresolv
IDN = -lidn2
CRC = -lz
CRYPT = -lcrypt
MD5 = -l:libmd.a
TLS = -lssl -lcrypto
OWFAT = $(BUILD)/libowfat_safe.a

# What two or more programs share. The archive lets each program take only what
# it uses; the lists of objects below say what a program is made of.
LIB = lib/accounts.o lib/cdbkept.o lib/ours.o lib/address.o lib/addresslist.o lib/auth.o \
	lib/auth_ask.o lib/base64.o lib/sasl_front.o lib/cdbfile.o \
	lib/counter.o lib/date.o lib/deadline.o lib/descriptors.o lib/digest.o \
	lib/domains.o lib/dots.o lib/networks.o lib/proxy.o \
	lib/durable.o lib/envelope.o lib/escape.o lib/fields.o lib/frames.o \
	lib/home.o lib/ident.o lib/line.o lib/log.o lib/output.o lib/pack.o \
	lib/records.o lib/reply.o lib/role.o lib/role_filter.o lib/service.o \
	lib/settings.o lib/tls_ask.o lib/tls_server.o lib/utf8.o lib/verp.o \
	lib/xtext.o

# Each program: its own objects, that with main first, then those of other
# departments that it uses.
smtpd = smtpd/smtpd.o smtpd/verbs.o smtpd/verb_hello.o smtpd/verb_mail.o \
	smtpd/verb_rcpt.o smtpd/verb_data.o smtpd/verb_bdat.o \
	smtpd/content.o smtpd/verb_rest.o smtpd/session.o \
	smtpd/verb_xclient.o smtpd/verb_auth.o smtpd/verb_etrn.o smtpd/verb_tls.o \
	smtpd/tls.o smtpd/tlsclients.o smtpd/policy.o smtpd/parameters.o smtpd/hops.o \
	smtpd/trace.o smtpd/peer.o smtpd/configure.o smtpd/judge.o \
	smtpd/decision.o smtpd/limits.o smtpd/stop.o smtpd/transcript.o \
	smtpd/patterns.o smtpd/moved.o smtpd/idn.o smtpd/verdict.o smtpd/rules.o \
	smtpd/xclient.o smtpd/submission.o smtpd/submission_content.o \
	smtpd/senders.o smtpd/header.o \
	queue/submit.o local/resolve_ask.o remote/lookup_ask.o
queue-inject = queue/inject.o queue/accept.o queue/room.o queue/servants.o \
	queue/litter.o queue/layout.o queue/message_file.o \
	queue/local_trace.o queue/submit_refuse.o queue/wakeup.o
queue-filter = queue/filter.o queue/filter_serve.o queue/filter_run.o \
	queue/filter_intake.o queue/filter_environment.o queue/local_trace.o \
	queue/submit.o queue/submit_refuse.o
queue-submit = queue/queue_submit.o queue/submit.o
queue-runner = queue/runner.o queue/layout.o queue/message_file.o \
	queue/job_file.o queue/wakeup.o queue/submit.o queue/active.o \
	queue/scan.o queue/requests.o queue/operate.o queue/search.o \
	queue/request.o queue/destinations.o queue/destination.o queue/retries.o queue/admit.o queue/waiting.o queue/picks.o \
	queue/flows.o queue/heap.o queue/adopt.o queue/jobs.o \
	queue/results.o queue/history.o queue/commit.o queue/schedule.o queue/bounce.o \
	queue/report.o queue/report_prepare.o queue/report_judge.o \
	remote/route.o remote/route_words.o
remote = remote/remote.o remote/destinations.o remote/lines.o \
	remote/worker.o remote/reach.o remote/reach_dead.o remote/reach_aside.o remote/kept.o \
	remote/dead.o remote/dead_ask.o remote/client.o \
	remote/client_hello.o \
	remote/client_tls.o remote/client_auth.o remote/scram_client.o \
	remote/smarthosts.o \
	remote/client_message.o remote/client_aside.o remote/client_commands.o remote/client_content.o remote/dns.o \
	remote/dns_message.o remote/mx.o remote/route.o \
	remote/route_words.o queue/layout.o \
	queue/job_check.o queue/job_file.o queue/message_file.o queue/wakeup.o
dead-addresses = remote/dead_addresses.o remote/dead.o
route-show = remote/route_show.o tools/json.o remote/dns.o \
	remote/dns_message.o remote/mx.o remote/route.o remote/route_words.o
smtp-probe = remote/smtp_probe.o remote/client.o remote/client_hello.o \
	remote/client_tls.o remote/dns.o remote/dns_message.o remote/mx.o \
	remote/route.o remote/route_words.o tools/plain.o
lookup = remote/lookup.o remote/idn.o remote/dns.o remote/dns_message.o
local = local/local.o local/jobs.o local/deliveries.o local/stayers.o \
	local/work.o local/resolve_ask.o local/warden_ask.o \
	queue/layout.o queue/job_check.o queue/job_file.o queue/message_file.o \
	queue/wakeup.o
resolve = local/resolve.o local/resolve_lookup.o local/account.o local/account_key.o \
	local/assign.o local/aliases.o local/outside.o local/warden_ask.o \
	lib/accounts_system.o
pop3_session = pop3d/session.o pop3d/commands.o pop3d/maildrop.o \
	pop3d/scan.o pop3d/sizes.o pop3d/message.o pop3d/retrieve.o \
	pop3d/update.o pop3d/language.o
warden = local/warden.o local/warden_child.o local/account_key.o local/assign.o \
	local/aliases.o local/outside.o local/account_prepare.o local/expand.o \
	tools/maildir_make.o local/children.o local/deliver.o \
	local/deliver_settings.o local/delivery.o local/lookup.o \
	local/newsender.o local/srs.o local/mbox.o local/way.o local/quota.o \
	local/instructions.o local/maildir.o \
	local/program.o local/environment.o local/forward.o local/loop.o \
	$(pop3_session) queue/submit.o lib/accounts_system.o
pop3d-session = pop3d/alone.o $(pop3_session)
pop3d = pop3d/login.o pop3d/login_auth.o pop3d/login_tls.o pop3d/login_peer.o pop3d/language.o
authd = tools/authd.o tools/auth_check.o tools/auth_exchange.o \
	tools/auth_limits.o tools/auth_program.o tools/auth_system.o \
	tools/sasl.o tools/scram.o tools/scram_keys.o \
	tools/secrets.o local/warden_ask.o local/outside.o \
	lib/accounts_system.o
tls-client = tls/tls_client.o tls/authorities.o tls/connect.o tls/facts.o \
	tls/pump.o
countd = tools/countd.o tools/counts.o tools/counts_file.o
tlsd = tls/tlsd.o tls/session.o tls/contexts.o tls/certificates.o \
	tls/tickets.o tls/key_ask.o tls/signer.o tls/signer_sign.o \
	tls/keyring.o tls/keyring_file.o tls/pump.o tls/facts.o
sendmail = tools/sendmail.o tools/sendmail_options.o tools/sendmail_submit.o \
	tools/sendmail_session.o tools/sendmail_tools.o smtpd/parameters.o tools/mail_header.o \
	tools/queue_program.o local/aliases.o tools/users_store.o \
	tools/spool.o tools/queue_show.o tools/queue_criteria.o tools/plain.o tools/json.o tools/queue_walk.o queue/submit.o \
	queue/layout.o queue/message_file.o
queue-list = tools/queue_list.o tools/queue_show.o tools/queue_criteria.o tools/plain.o tools/json.o tools/queue_walk.o \
	queue/layout.o queue/message_file.o
queue-request = tools/queue_request.o tools/plain.o tools/queue_criteria.o tools/queue_choose.o tools/queue_ask.o \
	tools/queue_walk.o queue/request.o queue/layout.o queue/message_file.o \
	queue/wakeup.o remote/route.o remote/route_words.o
destination-list = tools/destination_list.o tools/plain.o tools/json.o tools/queue_ask.o \
	tools/queue_walk.o queue/request.o queue/destination.o queue/layout.o \
	queue/message_file.o queue/wakeup.o
queue-stat = tools/queue_stat.o tools/queue_domains.o tools/json.o \
	tools/queue_walk.o queue/layout.o queue/message_file.o
queue-check = tools/queue_check.o tools/queue_look.o tools/queue_look_file.o \
	tools/queue_what.o tools/queue_mend.o tools/queue_mend_file.o \
	tools/queue_walk.o \
	queue/layout.o queue/message_file.o queue/job_file.o
smtp-why = tools/smtp_why.o tools/plain.o tools/json.o smtpd/submission.o smtpd/senders.o \
	smtpd/header.o smtpd/configure.o smtpd/judge.o smtpd/tlsclients.o \
	smtpd/patterns.o smtpd/moved.o smtpd/idn.o smtpd/verdict.o smtpd/policy.o smtpd/rules.o \
	smtpd/session.o smtpd/decision.o smtpd/limits.o smtpd/stop.o \
	smtpd/transcript.o queue/submit.o local/resolve_ask.o remote/lookup_ask.o
control-show = tools/control_show.o tools/control_table.o \
	tools/control_lists.o setup/findings.o tools/json.o tools/plain.o \
	remote/route.o remote/route_words.o remote/dns.o remote/dns_message.o \
	queue/schedule.o smtpd/verdict.o smtpd/moved.o smtpd/patterns.o \
	smtpd/senders.o smtpd/tlsclients.o smtpd/idn.o remote/lookup_ask.o
address-why = tools/address_why.o tools/plain.o tools/json.o local/resolve_ask.o \
	local/resolve_explain.o
user-list = tools/user_list.o tools/plain.o tools/users_admin.o tools/users_list.o \
	tools/users_import.o tools/users_line.o tools/users.o tools/users_store.o \
	tools/users_batch.o tools/secrets.o tools/scram_keys.o tools/json.o \
	tools/maildir_make.o
users-compile = tools/users_compile.o tools/users_store.o local/assign.o
tcp-env = tools/tcp_env.o
qmail-inject = compat/qmail_inject.o compat/inject_sender.o compat/inject_header.o compat/rewrite.o \
	tools/sendmail_submit.o tools/mail_header.o tools/queue_program.o \
	tools/spool.o queue/submit.o
qmail-names = compat/qmail_names.o compat/qread.o compat/newmrh.o compat/pw2u.o \
	compat/getpw.o tools/queue_walk.o queue/layout.o queue/message_file.o
command = local/command.o local/environment.o local/forward.o tools/queue_program.o queue/submit.o
forward = local/forward_main.o $(command)
vacation = local/vacation_main.o local/vacation.o $(command)
lmtp-deliver = local/lmtp_deliver.o $(command)
maildir2mbox = local/maildir2mbox.o local/mbox.o local/way.o $(command)
maildirmake = tools/maildirmake.o tools/maildir_make.o
install-check = setup/install_check.o setup/installation_paths.o \
	setup/installation_more.o setup/findings.o setup/run.o tools/json.o \
	tools/plain.o
setup = setup/setup.o setup/files.o setup/make.o setup/account.o \
	setup/certificates.o setup/check_names.o setup/check_host.o \
	setup/installation_paths.o setup/findings.o setup/run.o tools/json.o \
	tools/plain.o tools/users.o tools/users_store.o tools/users_batch.o \
	tools/users_line.o tools/secrets.o tools/scram_keys.o remote/client.o \
	remote/client_hello.o remote/dns.o remote/dns_message.o remote/mx.o \
	remote/route.o remote/route_words.o
selftest = setup/selftest.o setup/selftest_submit.o setup/selftest_fetch.o \
	setup/findings.o tools/json.o tools/plain.o tools/users.o \
	tools/users_store.o tools/users_batch.o tools/users_line.o \
	tools/secrets.o tools/scram_keys.o tools/queue_walk.o queue/layout.o \
	remote/client.o remote/client_hello.o remote/client_tls.o \
	remote/client_auth.o remote/scram_client.o remote/smarthosts.o \
	remote/client_message.o remote/client_aside.o remote/client_commands.o \
	remote/client_content.o remote/dns.o remote/dns_message.o remote/mx.o \
	remote/route.o remote/route_words.o
user-add = tools/user_add.o tools/plain.o tools/maildir_make.o tools/secrets.o tools/users.o \
	tools/users_store.o tools/users_batch.o tools/users_line.o tools/scram_keys.o
user-passwd = tools/user_passwd.o tools/plain.o tools/secrets.o tools/users.o tools/users_store.o tools/users_batch.o \
	tools/scram_keys.o
mail-show = mail/mail_show.o mail/show.o mail/message.o mail/folder.o \
	mail/save.o mail/harm.o mail/words.o mail/uu.o mail/charset.o mail/html.o mail/name.o tools/plain.o \
	tools/json.o
mail-send = mail/mail_send.o mail/compose.o mail/draft.o mail/submit.o \
	mail/attach.o mail/message.o mail/harm.o mail/words.o mail/uu.o \
	mail/charset.o mail/html.o mail/name.o tools/plain.o

HOT_PROGRAMS = qmail-inject qmail-names smtpd pop3d pop3d-session queue-inject queue-filter queue-submit queue-runner \
	remote local sendmail queue-list queue-stat queue-check queue-request destination-list countd maildirmake \
	smtp-why control-show address-why route-show dead-addresses smtp-probe users-compile forward vacation maildir2mbox
DYNAMIC_PROGRAMS = lookup resolve tcp-env warden authd user-add user-passwd \
	user-list tls-client tlsd lmtp-deliver install-check setup selftest $(MAIL_PROGRAMS)
PROGRAMS = $(HOT_PROGRAMS) $(DYNAMIC_PROGRAMS)
# One program under several names.
ADMIN = domain-add domain-del domain-list alias-add user-del user-set \
	user-export user-import
REQUESTS = queue-hold queue-release queue-delete queue-bounce queue-retry \
	queue-route
CONTROLS = control-check
# qmail's names: programs of ours, and scripts.
QMAIL_NAMES = qmail-qread qmail-newmrh qmail-pw2u qmail-getpw
QMAIL_SCRIPTS = qmail-qstat qmail-tcpto qmail-tcpok qmail-showctl qmail-newu predate \
	datemail mailsubj
COMMANDS = condredirect bouncesaying except preline qreceipt
# Programs that link OpenSSL; no other does.
TLS_PROGRAMS = tls-client tlsd
# What of mail/ is compiled with GMime, and is in no test's archive.
GMIME_OBJECTS = mail/mail_show.o mail/mail_send.o mail/message.o mail/compose.o
# Programs that take something from libowfat (and so are under GPL-2 terms).
OWFAT_PROGRAMS = smtpd pop3d authd remote selftest

# Everything that is not a program's main, for the tests.
DEPARTMENTS = lib queue smtpd remote local pop3d tools tls mail setup compat
MAINS = $(foreach program,$(PROGRAMS),$(firstword $($(program))))
MODULES = $(filter-out $(MAINS) $(GMIME_OBJECTS),$(patsubst %.c,%.o,\
	$(wildcard $(DEPARTMENTS:=/*.c))))
UNIT_TESTS = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FUZZ_TARGETS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,\
	$(wildcard tests/fuzz/fuzz_*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:
.PHONY: install-qmail-compat uninstall-qmail-compat all unit unit-tests fuzz fuzz-targets crash check bench demo install \
	format format-check clean always

all: $(PROGRAMS:%=$(BUILD)/%) $(REQUESTS:%=$(BUILD)/%) \
	$(COMMANDS:%=$(BUILD)/%) $(ADMIN:%=$(BUILD)/%) \
	$(CONTROLS:%=$(BUILD)/%) $(QMAIL_NAMES:%=$(BUILD)/%) \
	$(QMAIL_SCRIPTS:%=$(BUILD)/%)

$(QMAIL_NAMES:%=$(BUILD)/%): $(BUILD)/qmail-names
	ln -sf qmail-names $@

$(QMAIL_SCRIPTS:%=$(BUILD)/%): $(BUILD)/%: compat/%
	cp $< $@

$(REQUESTS:%=$(BUILD)/%): $(BUILD)/queue-request
	ln -sf queue-request $@

$(CONTROLS:%=$(BUILD)/%): $(BUILD)/control-show
	ln -sf control-show $@

$(COMMANDS:%=$(BUILD)/%): $(BUILD)/forward
	ln -sf forward $@

$(ADMIN:%=$(BUILD)/%): $(BUILD)/user-list
	ln -sf user-list $@

# Objects are made again when the compiler or its flags change.
$(BUILD)/flags: always
	@mkdir -p $(BUILD)
	@echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(HOT))' | \
		cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(HOT))' >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(MORE_CFLAGS) -MMD -MP -c -o $@ $<

# What pkg-config says of GMime, for the compiler to read.
$(BUILD)/gmime:
	@mkdir -p $(BUILD)
	@pkg-config --cflags gmime-3.0 >$@.cflags && \
		pkg-config --libs gmime-3.0 >$@ || { \
		echo 'GMime is missing: install libgmime-3.0-dev and' \
			'pkg-config, or leave mail-show and mail-send' \
			'out: make MAIL=0' >&2; exit 1; }
$(GMIME_OBJECTS:%=$(BUILD)/obj/%): $(BUILD)/gmime
$(GMIME_OBJECTS:%=$(BUILD)/obj/%): MORE_CFLAGS = @$(BUILD)/gmime.cflags \
	-DKEEPMAIL_SENDMAIL='"$(PREFIX)/sbin/sendmail"'

$(BUILD)/libkeepmail.a: $(LIB:%=$(BUILD)/obj/%)
	@rm -f $@
	ar rcs $@ $^

$(OWFAT): tools/make-owfat-archive tools/check-owfat lib/ow.h
	@mkdir -p $(@D)
	sh tools/make-owfat-archive $@

# A program is its list of objects; the map beside it says what else came in.
$(BUILD)/remote: LIBRARIES = $(RESOLV) $(MD5)
$(BUILD)/route-show $(BUILD)/smtp-probe $(BUILD)/control-show: LIBRARIES = $(RESOLV)
$(BUILD)/setup $(BUILD)/selftest: LIBRARIES = $(RESOLV) $(CRYPT) $(MD5)
$(BUILD)/lookup: LIBRARIES = $(RESOLV) $(IDN)
$(TLS_PROGRAMS:%=$(BUILD)/%): LIBRARIES = $(TLS)
$(BUILD)/authd $(BUILD)/user-add $(BUILD)/user-passwd $(BUILD)/user-list: LIBRARIES = $(CRYPT) $(MD5)
$(BUILD)/warden: LIBRARIES = $(MD5)
$(MAIL_PROGRAMS:%=$(BUILD)/%): LIBRARIES = @$(BUILD)/gmime
$(HOT_PROGRAMS:%=$(BUILD)/%): KIND = $(HOT)
$(DYNAMIC_PROGRAMS:%=$(BUILD)/%): KIND = -pie
$(OWFAT_PROGRAMS:%=$(BUILD)/%): $(OWFAT)
$(PROGRAMS:%=$(BUILD)/%): $(BUILD)/%: \
		$$(addprefix $(BUILD)/obj/,$$($$*)) $(BUILD)/libkeepmail.a
	$(CC) $(ALL_CFLAGS) $(KIND) $(ALL_LDFLAGS) -Wl,-Map=$@.map -o $@ \
		$(filter %.o,$^) $(filter %.a,$^) $(SKALIBS) $(CRC) $(LIBRARIES)
	@sh tools/check-owfat $@ $@.map

# Unit tests: cmocka and all modules; each takes what it needs.
$(BUILD)/libmodules.a: $(MODULES:%=$(BUILD)/obj/%)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tests/unit/test_signer: LIBRARIES = $(TLS)
$(UNIT_TESTS): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/libmodules.a $(OWFAT)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -pie $(ALL_LDFLAGS) -o $@ $^ -lcmocka \
		$(SKALIBS) $(CRC) $(RESOLV) $(IDN) $(CRYPT) $(MD5) $(LIBRARIES)

unit-tests: $(UNIT_TESTS)

unit: unit-tests
	CMOCKA_MESSAGE_OUTPUT=TAP prove $(UNIT_TESTS)

# Fuzz targets: libFuzzer, with all modules compiled for it.
FUZZ_CFLAGS = $(STANDARD) $(WARNINGS) -O1 -g -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined \
		-MMD -MP -c -o $@ $<

$(BUILD)/fuzz/libmodules.a: $(MODULES:%=$(BUILD)/fuzz/obj/%)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_TARGETS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o \
		$(BUILD)/fuzz/libmodules.a $(OWFAT)
	$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ \
		$(SKALIBS) $(CRC) $(RESOLV) $(IDN) $(CRYPT) $(MD5)

fuzz-targets: $(FUZZ_TARGETS)

# What the crash tests trace and record with.
$(BUILD)/crash/trace: $(BUILD)/obj/tests/crash/trace.o \
		$(BUILD)/obj/tests/crash/calls.o $(BUILD)/obj/tests/crash/fail.o \
		$(BUILD)/obj/tests/crash/look.o
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -pie $(ALL_LDFLAGS) -o $@ $^

$(BUILD)/crash/blocks: tests/crash/blocks.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -pie $(ALL_LDFLAGS) -o $@ $^ \
		$$(pkg-config --cflags --libs fuse3)

crash: all
	-sh tools/packages crash
	KEEPMAIL_STOPS=0 KEEPMAIL_STATES=0 KEEPMAIL_FAULTS=0 prove --timer -v \
		tests/whole/stop-anywhere.t tests/whole/power-loss.t \
		tests/whole/faults.t \
		tests/crash/disks.t tests/model/model.t

# What the benchmarks load with.
$(BUILD)/bench/smtpload $(BUILD)/bench/smtpsink: $(BUILD)/bench/%: \
		tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -pie $(ALL_LDFLAGS) -pthread -o $@ $^

$(BUILD)/bench/inject: tests/bench/inject.c $(BUILD)/obj/queue/submit.o \
		$(BUILD)/libkeepmail.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -pie $(ALL_LDFLAGS) -pthread -o $@ $^ $(SKALIBS) \
		$(CRC)

bench: all $(BUILD)/bench/smtpload $(BUILD)/bench/smtpsink \
		$(BUILD)/bench/inject
	python3 tests/bench/calls
	python3 tests/bench/peers
	python3 tests/bench/mailboxes
	python3 tests/bench/relay
	python3 tests/bench/connections
	python3 tests/bench/tls
	python3 tests/bench/pop3
	python3 tests/bench/queue
	python3 tests/bench/addresses

fuzz: fuzz-targets
	sh tests/fuzz/fuzz.t -max_total_time=$(FUZZ_SECONDS)

check:
	sh tools/check

demo:
	sh tools/demo

install: all
	BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' \
		LIBEXEC='$(LIBEXEC)' HOME_DIR='$(HOME_DIR)' MAIL='$(MAIL)' sh tools/install

# Links with qmail's names; never over a qmail that is there.
install-qmail-compat uninstall-qmail-compat:
	DESTDIR='$(DESTDIR)' QMAIL='$(QMAIL)' PREFIX='$(PREFIX)' \
		LIBEXEC='$(LIBEXEC)' HOME_DIR='$(HOME_DIR)' \
		sh compat/install $(if $(filter uninstall%,$@),remove)

C_FILES = $(wildcard $(DEPARTMENTS:=/*.[ch]) tests/unit/*.[ch] tests/fuzz/*.[ch] \
	tests/crash/*.[ch])
format:
	clang-format -i $(C_FILES)

format-check:
	clang-format --dry-run --Werror $(C_FILES)

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
