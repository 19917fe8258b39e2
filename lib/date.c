#include "lib/date.h"
#include <stdio.h>
#include <string.h>

/* 1900-01-01 00:00:00 and 9999-12-31 23:59:59. */
#define EARLIEST_S INT64_C(-2208988800)
#define LATEST_S INT64_C(253402300799)
#define DAY_S 86400

static const char WEEKDAY[7][4] = {
	"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char MONTH[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const int MONTH_DAYS[12] = {
	31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

static int
is_leap_year(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* month counts from 0. */
static int
days_in_month(int year, int month)
{
	return MONTH_DAYS[month] + (month == 1 && is_leap_year(year));
}

/* Days from 1970-01-01 to 1 January of the year (1900 to 9999). */
static int64_t
days_to_year(int year)
{
	int before = year - 1;

	return INT64_C(365) * year + before / 4 - before / 100 + before / 400 -
	       719527;
}

/* 0 is Sunday; 1970-01-01 was a Thursday. */
static int
weekday_of(int64_t days)
{
	return (int)(((days + 4) % 7 + 7) % 7);
}

void
date_write(char buffer[DATE_OCTETS + 1], int64_t time_s)
{
	char text[96];
	int64_t days, rest;
	int year, month = 0, second;

	if (time_s < EARLIEST_S)
		time_s = EARLIEST_S;
	if (time_s > LATEST_S)
		time_s = LATEST_S;
	days = time_s / DAY_S;
	second = (int)(time_s % DAY_S);
	if (second < 0) {
		second += DAY_S;
		days--;
	}
	year = 1970 + (int)(days / 365); /* not too early by much */
	while (days < days_to_year(year))
		year--;
	while (days >= days_to_year(year + 1))
		year++;
	rest = days - days_to_year(year);
	while (rest >= days_in_month(year, month))
		rest -= days_in_month(year, month++);
	snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d +0000",
		WEEKDAY[weekday_of(days)], (int)rest + 1, MONTH[month], year,
		second / 3600, second / 60 % 60, second % 60);
	memcpy(buffer, text, DATE_OCTETS);
	buffer[DATE_OCTETS] = '\0';
}

/* The number of `digits` digits at text, or -1. */
static int
scan_number(const char *text, int digits)
{
	int value = 0, i;

	for (i = 0; i < digits; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + text[i] - '0';
	}
	return value;
}

/* Which of the names stands at text, or -1. */
static int
scan_name(const char *text, const char names[][4], int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (memcmp(text, names[i], 3) == 0)
			return i;
	return -1;
}

/* Seconds east of UTC that "+hhmm" says; outside a day if it is not one. */
static int
scan_zone(const char *text)
{
	int hours = scan_number(text + 1, 2);
	int minutes = scan_number(text + 3, 2);

	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return DAY_S;
	if (text[0] != '+' && text[0] != '-')
		return DAY_S;
	return (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

int
date_parse(const char *text, size_t len, int64_t *time_s)
{
	/* Where a letter, a digit or a sign stands there is a "x". */
	static const char FORM[] = "xxx, xx xxx xxxx xx:xx:xx xxxxx";
	int weekday, day, month, year, hour, minute, second, zone, i;
	int64_t days;

	_Static_assert(sizeof FORM - 1 == DATE_OCTETS, "the form is a date");
	if (len != DATE_OCTETS)
		return -1;
	for (i = 0; i < DATE_OCTETS; i++)
		if (FORM[i] != 'x' && FORM[i] != text[i])
			return -1;
	weekday = scan_name(text, WEEKDAY, 7);
	day = scan_number(text + 5, 2);
	month = scan_name(text + 8, MONTH, 12);
	year = scan_number(text + 12, 4);
	hour = scan_number(text + 17, 2);
	minute = scan_number(text + 20, 2);
	second = scan_number(text + 23, 2);
	zone = scan_zone(text + 26);
	if (month < 0 || year < 1900 || day < 1 ||
		day > days_in_month(year, month))
		return -1;
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
		second > 59 || zone == DAY_S)
		return -1;
	days = days_to_year(year) + day - 1;
	for (i = 0; i < month; i++)
		days += days_in_month(year, i);
	if (weekday != weekday_of(days))
		return -1;
	*time_s = days * DAY_S + hour * 3600 + minute * 60 + second - zone;
	return 0;
}
