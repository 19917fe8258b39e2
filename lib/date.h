#ifndef LIB_DATE_H
#define LIB_DATE_H

/*
 * The date-time of RFC 5322 section 3.3, in UTC: "Sat, 21 Nov 2026 04:05:06
 * +0000". No locale, no time zone files.
 */

#include <stddef.h>
#include <stdint.h>

/* Octets of a date-time, always; a buffer needs one more for the NUL. */
#define DATE_OCTETS 31

/*
 * Writes the date-time of time_s seconds since the epoch (no leap seconds)
 * with a NUL after it. Any int64_t will do: a time outside the years 1900 to
 * 9999, which RFC 5322 cannot write, gives the nearest one inside.
 */
void date_write(char buffer[DATE_OCTETS + 1], int64_t time_s);

/*
 * Reads exactly the form that date_write writes, but in any zone (+hhmm or
 * -hhmm). Weekday, day of the month and time must be right; second 60 is not
 * taken. Returns 0 and sets *time_s, or returns -1 and leaves it.
 */
int date_parse(const char *text, size_t len, int64_t *time_s);

#endif
