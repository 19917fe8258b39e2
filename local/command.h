#ifndef LOCAL_COMMAND_H
#define LOCAL_COMMAND_H

/*
 * What the commands share that stand in .qmail files (dot-qmail(5)). They run as
 * the owner of the mail, with the message on descriptor 0; what they print becomes
 * part of the report. Functions that complain write to descriptor 2.
 */

#include <stddef.h>
#include <stdint.h>

/* A variable of the delivery's; or NULL after a complaint that it is missing. */
const char *command_variable(const char *name);

/* Octets of the message on descriptor 0 from its position on, which becomes
 * *offset. What is not a file is first copied into one. 0, or -1 after a
 * complaint. */
int command_message(uint64_t *offset, uint64_t *octets);

/*
 * Reads the header of the message on descriptor 0, at most FIELDS_BLOCK_MAX octets
 * of it, from its start. Returns the octets, the caller's to free, with a NUL after
 * them; or NULL after a complaint.
 */
char *command_header(size_t *length);

/*
 * Sends octets of fd from offset on to the addresses (NULL at the end; without a
 * domain they get that of $HOST) with this reverse-path, after the field of $DTLINE
 * if is_forward; then with what the sender asked of reports, less those of success,
 * too. Prints "WORD: qp ID". Returns 0; 100 or 111 after a complaint.
 */
int
command_send(const char *word, const char *reverse_path, char *const *address,
	int fd, uint64_t offset, uint64_t octets, int is_forward);

/* Runs a program with the message from its start. Returns its exit status; 111 if
 * it cannot be run or crashes. */
int command_run(char *const *argument);

#endif
