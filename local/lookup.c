#include <unistd.h>
#include "local/delivery.h"
#include "local/instructions.h"

/* For an address without instructions. */
static void
report_none(const struct deliver_settings *settings, int folder,
	const struct account *account, const struct warden_request *request,
	struct warden_report *into)
{
	char path[2 * ACCOUNT_HOME_MAX];

	if (delivery_is_own_address(request))
		(void)delivery_report(into, OUTCOME_DELIVERED, "2.1.5 default");
	else if (delivery_find_folder(settings, folder, account, request, path))
		(void)delivery_report(
			into, OUTCOME_DELIVERED, "2.1.5 %s", path);
	else
		(void)delivery_report(into, OUTCOME_FAILED,
			"5.1.1 there is no mailbox of that name");
}

/* True if the address is a rewritten one: the report is made. */
static bool
report_rewritten(struct deliver_settings *settings,
	const struct warden_request *request, struct warden_report *into)
{
	char to[ADDRESS_TEXT_MAX + 1];
	int result = delivery_undo_srs(settings, request, to, into);

	srs_forget(&settings->srs);
	if (result > 0)
		(void)delivery_report(
			into, OUTCOME_DELIVERED, "2.1.5 rewritten");
	return result != 0;
}

int
deliver_lookup(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, struct warden_report *into)
{
	char why[OUTCOME_TEXT_MAX + 1];
	struct instructions_file file;

	*into = (struct warden_report){0};
	if (!delivery_names_are_sound(request)) {
		(void)delivery_report(into, OUTCOME_DEFERRED,
			"4.3.5 the look-up request is malformed");
		return (int)into->outcome;
	}
	if (report_rewritten(settings, request, into))
		return (int)into->outcome;
	int folder = delivery_open_home(account, into);
	if (folder < 0)
		return (int)into->outcome;
	switch (instructions_find(folder, request->dash, request->extension,
		&file, why, sizeof why)) {
	case INSTRUCTIONS_FOUND:
		close(file.fd);
		(void)delivery_report(
			into, OUTCOME_DELIVERED, "2.1.5 %s", file.name);
		break;
	case INSTRUCTIONS_EMPTY:
		(void)delivery_report(
			into, OUTCOME_DELIVERED, "2.1.5 %s", file.name);
		break;
	case INSTRUCTIONS_NONE:
		report_none(settings, folder, account, request, into);
		break;
	case INSTRUCTIONS_TROUBLE:
		(void)delivery_report(into, OUTCOME_DEFERRED, "%s", why);
		break;
	}
	close(folder);
	return (int)into->outcome;
}

void
deliver_room(struct deliver_settings *settings, const struct account *account,
	const struct warden_request *request, struct warden_report *into)
{
	char why[OUTCOME_TEXT_MAX + 1];
	struct instructions_file file;

	*into = (struct warden_report){.magic = WARDEN_MAGIC};
	srs_forget(&settings->srs);
	if (!delivery_names_are_sound(request)) {
		(void)delivery_report(into, OUTCOME_DEFERRED,
			"4.3.5 the look-up request is malformed");
		return;
	}
	int folder = delivery_open_home(account, into);
	if (folder < 0)
		return;
	enum instructions_result result = instructions_find(folder,
		request->dash, request->extension, &file, why, sizeof why);
	if (result == INSTRUCTIONS_FOUND)
		close(file.fd);
	if (result == INSTRUCTIONS_NONE || result == INSTRUCTIONS_EMPTY)
		delivery_report_room(settings, folder, account, into);
	else
		(void)delivery_report(into, OUTCOME_DELIVERED,
			"2.1.5 its instructions decide");
	close(folder);
}
