/*
 * The queue's state machine: one message with one recipient, from its submission
 * to its end, while any process may be killed between any two steps and the power
 * may fail. README.md says which line stands for which function, and model.t what
 * is asked of it.
 *
 * What is left out: times, sizes, other messages, and the bounce's own way, which
 * is that of any message. Each -DBUG_... takes one safeguard away; spin must then
 * find what goes wrong.
 */

#ifndef KILLS
#define KILLS 2		/* processes that may be killed */
#endif
#ifndef CUTS
#define CUTS 1		/* power cuts */
#endif
#ifndef FAILURES
#define FAILURES 1	/* calls of fsync that fail while a message comes in */
#endif
#define ATTEMPTS 2	/* the last one can only succeed or fail */
#define RECORDS (ATTEMPTS + 1)

/* Where the message's file is. */
#define NOWHERE 0
#define INCOMING 1
#define ACTIVE 2
#define DEFERRED 3
#define DOUBTFUL 4

/* Outcome records and results; 0 is none. */
#define PUT_OFF 1
#define DELIVERED 2
#define FAILED 3
#define TOLD 4

/* The job file. */
#define WORK 1		/* without an end record */
#define DONE 2

#define INJECT 0
#define RUNNER 1
#define CHANNEL 2

/* --- the disk: what programs see, and what would outlive a power cut --- */

byte place = NOWHERE;
byte places = 1 << NOWHERE; /* bits: where a power cut may leave the file */
bool written, written_lasts; /* content and envelope */
bool marked, marked_lasts;
bool marked_before;	/* a mark that was withdrawn, but not durably */
byte record[RECORDS], records, records_last;

byte job, job_attempt, job_result;
byte jobs_made;		/* jobs up to this attempt may come back */
byte result_of[ATTEMPTS + 1]; /* what their files said in the end */

byte copies;		/* at the recipient, for good */
byte copies_unsynced;	/* more, in a folder that is not synced */
byte bounces;		/* durable */

/* --- the kernel, and what is asked of it --- */

byte kills_left = KILLS, cuts_left = CUTS;
bool dead[3];		/* was killed, and has not yet gone */
bool is_dark;		/* no power: nobody starts again */
bool is_locked;		/* by the message's writer */
bool news;		/* wake/runner has a line for the message */
bool call;		/* wake/local or wake/remote has one for the job */

/* --- what was promised, for the assertions --- */

bool accepted, refused;
byte ended;		/* the outcome with which the file was removed */
bool committed;		/* that it is gone is durable */
byte may_repeat;	/* copies that crashes excuse */
byte bounce_may_repeat;
byte failures;
bool finished;

inline sync_file()
{
	written_lasts = written;
	marked_lasts = marked;
	marked_before = false;
	records_last = records
}

inline move(to)
{
	place = to;
	places = places | (1 << to)
}

/* What the records tell: "told" only comes after a failure. */
#define LAST (records == 0 -> 0 : record[records - 1])
#define IS_FINAL (records > 0 && record[records - 1] > PUT_OFF)
#define IS_TOLD (records > 0 && record[records - 1] == TOLD)
#define IS_STALE (IS_FINAL || records + 1 != job_attempt)
#define OUTCOME (IS_TOLD -> FAILED : LAST)
#define ATTEMPTED (IS_TOLD -> records - 1 : records)

inline remove_job()
{
	job = 0;
	job_attempt = 0;
	job_result = 0
}

inline append(what)
{
	assert(records < RECORDS);
	record[records] = what;
	records++
}

/* --- queue-inject's child --- */

proctype inject()
{
	bool failed;
	{
		atomic { is_locked = true; move(INCOMING) };
		written = true;
#ifdef BUG_LOCK_GOES_FIRST
		atomic { marked = true; is_locked = false };
#endif
		marked = true;
#ifndef BUG_NO_FILE_SYNC
		atomic {
			if
			:: sync_file()
			:: failures < FAILURES -> failures++; failed = true
			fi
		};
#endif
#ifdef BUG_ANSWER_BEFORE_FOLDER_SYNC
		accepted = true;
#endif
#ifndef BUG_NO_FOLDER_SYNC
		atomic {
			if
			:: failed -> skip
			:: !failed -> places = 1 << place
			:: !failed && failures < FAILURES ->
				failures++; failed = true
			fi
		};
#endif
		if
		:: failed ->
#ifndef BUG_NO_WITHDRAWAL
			atomic { marked = false; marked_before = true };
			atomic { sync_file() };
#endif
			refused = true
		:: else ->
			is_locked = false;
			accepted = true;
			news = true
		fi;
		is_locked = false
	} unless {
		dead[INJECT]
	};
	atomic { is_locked = false; dead[INJECT] = false };
	/* the next one is another message */
end:	do
	:: atomic { dead[INJECT] -> dead[INJECT] = false }
	od
}

/* --- queue-runner --- */

/* The file is in memory from now on, if it is sound. */
inline load(check)
{
	if
	:: !check || written -> loaded = true
	:: else -> move(DOUBTFUL)
	fi
}

/* It is given away, and nothing of it is in memory. */
inline forget()
{
	loaded = false;
	job_out = false;
	job_over = false;
	over = false;
	dirty = false;
	listed = false
}

inline scan_active()
{
	atomic {
		if
		:: place == ACTIVE -> load(true); listed = loaded
		:: else
		fi
	}
}

/* A job that fits goes on; every other is removed. */
inline jobs_adopt()
{
	atomic {
		if
		:: job != 0 && loaded && !IS_STALE -> job_out = true
		:: job != 0 && !(loaded && !IS_STALE) -> remove_job()
		:: else
		fi
	}
}

inline scan_take()
{
	if
	:: news -> atomic { news = false; load(false) }
	:: !news ->
#ifdef BUG_TRUST_MARK
		atomic { load(false) }
#else
		atomic { sync_file() };
		places = places & ((1 << INCOMING) | (1 << ACTIVE));
		atomic { load(true) }
#endif
	fi;
	atomic {
		if
		:: loaded -> move(ACTIVE); listed = true
		:: else
		fi
	}
}

inline hand_out()
{
	atomic {
		job = WORK;
		job_attempt = ATTEMPTED + 1;
		job_result = 0;
		jobs_made = (cuts_left > 0 -> job_attempt : 0);
		job_out = true
	};
	call = true
}

inline submit_bounce()
{
	/* the child that takes it may die before or after its sync */
	if
	:: atomic { bounces++; assert(bounces <= 1 + bounce_may_repeat) }
	:: atomic { kills_left > 0 -> kills_left--; has_failed = true }
	:: atomic { kills_left > 0 -> kills_left--; has_failed = true;
		bounces++; assert(bounces <= 1 + bounce_may_repeat);
		bounce_may_repeat++ }
	fi
}

/* What has no work out: the next step. */
inline settle()
{
	listed = false;
	if
	:: !IS_FINAL && is_due -> hand_out()
	:: LAST == FAILED ->
#ifdef BUG_REMOVE_BEFORE_BOUNCE
		atomic { over = true; dirty = true; ended = FAILED;
			move(NOWHERE) };
#endif
#ifdef BUG_BOUNCE_AFTER_MARK
		atomic { append(TOLD) };
#endif
		submit_bounce();
		if
		:: has_failed -> atomic { has_failed = false; listed = true }
		:: else ->
#ifndef BUG_BOUNCE_AFTER_MARK
			atomic { assert(bounces > 0); append(TOLD) };
#endif
			atomic { over = true; dirty = true }
		fi
	:: else -> atomic { over = IS_FINAL; dirty = true }
	fi;
	is_due = false
}

/* The channel has written its end record. */
inline read_result()
{
#ifdef BUG_REMOVE_BEFORE_RECORD
	atomic { result_of[0] = job_result; remove_job() };
	atomic { append(result_of[0]); job_out = false; job_over = true;
		dirty = true; listed = true; is_due = false }
#else
	atomic {
		assert(!IS_FINAL); /* one final outcome, once */
		append(job_result);
		job_out = false; job_over = true; dirty = true;
		listed = true; is_due = false
	}
#endif
}

inline commit()
{
	dirty = false;
	if
	:: over ->
		atomic { ended = OUTCOME; move(NOWHERE) };
#ifndef BUG_NO_COMMIT_SYNC
		places = 1 << NOWHERE;
#endif
		committed = true
	:: else -> atomic { sync_file() }
	fi;
	if
	:: job_over -> atomic { remove_job(); job_over = false }
	:: else
	fi;
	atomic {
		if
		:: !over && !listed && !job_out -> move(DEFERRED)
		:: else
		fi;
		if
		:: over || place == DEFERRED -> forget()
		:: else
		fi
	}
}

proctype runner()
{
	bool loaded, listed, job_out, job_over, over, dirty, is_due,
		has_failed;
end_start:
	{
		scan_active();
		is_due = true;
		jobs_adopt();
		if
		:: job_out -> listed = false
		:: else
		fi;
end:		do
		:: !loaded && place == INCOMING && !is_locked && marked ->
			is_due = true;
			scan_take()
		:: !loaded && place == INCOMING && !is_locked && !marked ->
			/* clear_away: it is old by then */
			move(NOWHERE)
		:: !loaded && place == DEFERRED ->
			atomic { load(false); move(ACTIVE); listed = true;
				is_due = true }
		:: loaded && job_out && job == DONE -> read_result()
		:: loaded && listed && !job_out -> settle()
		:: loaded && dirty && !listed -> commit()
		od
	} unless {
		dead[RUNNER]
	};
	atomic {
		forget();
		is_due = false; has_failed = false;
		dead[RUNNER] = false
	};
	do
	:: atomic { dead[RUNNER] -> dead[RUNNER] = false }
	:: atomic { !dead[RUNNER] && !is_dark -> news = false; goto end_start }
	od
}

/* --- local, or remote --- */

inline sync_copies()
{
	copies = copies + copies_unsynced;
	copies_unsynced = 0
}

inline deliver()
{
	assert(written);
	if
	:: /* remote: the other host says 250 */
		atomic { copies++; is_copied = true;
			assert(copies + copies_unsynced <= 1 + may_repeat) }
	:: /* local: a file in a Maildir */
		atomic { copies_unsynced++; is_copied = true;
			assert(copies + copies_unsynced <= 1 + may_repeat) };
#ifndef BUG_DELIVERY_NOT_SYNCED
		atomic { sync_copies() }
#endif
	fi
}

inline finish_job(what)
{
	atomic {
		is_copied = false;
		if
		:: job == WORK && job_attempt == mine ->
			job = DONE; job_result = what;
			result_of[mine] = (cuts_left > 0 -> what : 0)
		:: else /* it was taken away */
		fi;
		mine = 0
	}
}

proctype channel()
{
	bool is_copied;
	byte mine;	/* the attempt in hand */
end_start:
	{
end:		do
#ifdef BUG_TAKE_STALE_JOB
		:: job == WORK && place == ACTIVE ->
#else
		/* found without a call it may be stale: the runner removes it */
		:: job == WORK && place == ACTIVE && (call || !IS_STALE) ->
#endif
			atomic {
				call = false;
				if
				:: job == WORK && place == ACTIVE ->
					mine = job_attempt
				:: else
				fi
			};
			if
			:: mine == 0
			:: mine > 0 -> deliver(); finish_job(DELIVERED)
			:: mine > 0 -> finish_job(FAILED)
			:: mine > 0 && mine < ATTEMPTS -> finish_job(PUT_OFF)
			fi
		od
	} unless {
		dead[CHANNEL]
	};
	atomic {
		/* a copy that is not yet recorded will be made again */
		if
		:: is_copied && !is_dark -> may_repeat++
		:: else
		fi;
		is_copied = false; mine = 0;
		dead[CHANNEL] = false
	};
	do
	:: atomic { dead[CHANNEL] -> dead[CHANNEL] = false }
	:: atomic { !dead[CHANNEL] && !is_dark -> call = false; goto end_start }
	od
}

/* --- crashes --- */

/* One of the places that the folders' last syncs allow. */
inline lose_names()
{
	if
	:: places & (1 << NOWHERE) -> place = NOWHERE
	:: places & (1 << INCOMING) -> place = INCOMING
	:: places & (1 << ACTIVE) -> place = ACTIVE
	:: places & (1 << DEFERRED) -> place = DEFERRED
	:: places & (1 << DOUBTFUL) -> place = DOUBTFUL
	fi;
	places = 1 << place
}

inline lose_octets()
{
	if
	:: written && !written_lasts -> written = false
	:: true
	fi;
	if
	:: marked && !marked_lasts -> marked = false
	:: !marked && marked_before -> marked = true
	:: true
	fi;
	do
	:: records > records_last -> records--; record[records] = 0
	:: true -> break
	od;
	if
	:: place == NOWHERE ->
		written = false; marked = false
	:: else
	fi;
	sync_file()
}

/* Job files are never synced: none, or any that was made. */
inline lose_jobs()
{
	job_attempt = 0;
	job_result = 0;
	job = 0;
	if
	:: jobs_made >= 1 -> job = WORK; job_attempt = 1
	:: jobs_made >= 2 -> job = WORK; job_attempt = 2
	:: jobs_made >= 1 && result_of[1] > 0 ->
		job = DONE; job_attempt = 1; job_result = result_of[1]
	:: jobs_made >= 2 && result_of[2] > 0 ->
		job = DONE; job_attempt = 2; job_result = result_of[2]
	:: true
	fi;
	jobs_made = (cuts_left > 0 -> job_attempt : 0)
}

inline lose_copies()
{
	/* what was delivered and is not committed may come again */
	if
	:: !committed && copies + copies_unsynced > 0 -> may_repeat++
	:: else
	fi;
	if
	:: !committed && bounces > 0 -> bounce_may_repeat++
	:: else
	fi;
	if
	:: sync_copies()
	:: copies_unsynced = 0
	fi
}

proctype crash()
{
	do
	:: atomic { kills_left > 0 -> kills_left--; dead[INJECT] = true }
	:: atomic { kills_left > 0 -> kills_left--; dead[RUNNER] = true;
			if
			/* between the bounce and its record */
			:: bounces > 0 && LAST == FAILED ->
				bounce_may_repeat++
			:: else
			fi
		}
	:: atomic { kills_left > 0 -> kills_left--; dead[CHANNEL] = true }
	:: atomic { cuts_left > 0 ->
			cuts_left--;
			is_dark = true;
			dead[INJECT] = true;
			dead[RUNNER] = true;
			dead[CHANNEL] = true
		};
		!dead[INJECT] && !dead[RUNNER] && !dead[CHANNEL];
		atomic {
			lose_names();
			lose_octets();
			lose_jobs();
			lose_copies();
			is_dark = false
		}
	:: break
	od
}

/* --- when nothing more can happen --- */

active proctype judge()
{
	atomic {
		run inject();
		run runner();
		run channel();
		run crash()
	};
	atomic {
		timeout ->
		assert(job == 0);
		assert(place == NOWHERE || (place == DOUBTFUL && !accepted));
		assert(!accepted || ended != 0);
		assert(ended != DELIVERED || copies + copies_unsynced > 0);
		assert(ended != FAILED || bounces > 0);
		assert(ended != FAILED ||
			copies + copies_unsynced <= may_repeat);
		assert(ended != DELIVERED || bounces <= bounce_may_repeat);
		assert(!refused || ended == 0);
		finished = true
	}
}

ltl ends { <> finished }
