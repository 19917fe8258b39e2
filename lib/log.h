#ifndef LIB_LOG_H
#define LIB_LOG_H

/*
 * The log: one event, one line, one write to descriptor 2. Every octet outside
 * printable ASCII leaves as \xNN, so no peer can forge a line; a line is cut at
 * LOG_LINE_MAX octets and then ends in "...". Trouble with the log is nobody's
 * trouble: errors are ignored.
 */

#define LOG_LINE_MAX 1000

/* Names the program in front of every line; "" is no name. The text must live
 * on. */
void log_start(const char *program);

/* Formats as printf does, escapes, writes "program: text\n". Keeps errno. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * From here on lines are gathered, for a program that has many to write at once,
 * until log_write; they are then written together, at most LOG_GATHER_MAX octets in
 * one piece, which a pipe takes whole. A program that dies takes those that it has
 * gathered with it: call log_write before each wait, and before the end.
 */
#define LOG_GATHER_MAX 4096
void log_gather(void);

/* Writes what was gathered. */
void log_write(void);

#endif
