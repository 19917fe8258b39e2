#ifndef LIB_CDBFILE_H
#define LIB_CDBFILE_H

/*
 * Reading a cdb (constant database: 256 table heads, the records, the hash
 * tables) that may be damaged. Opening checks every table head against the size
 * of the file; whatever a look-up or a walk finds lies within the map. Such a
 * file is replaced by rename and never changed, so a map stays valid.
 */

#include <stddef.h>
#include <stdint.h>
#include <skalibs/cdb.h>

/* The largest cdb that is opened, in octets. */
#define CDBFILE_OCTETS_MAX (1024u * 1024u * 1024u)

struct cdbfile {
	cdb map;	/* private */
	uint32_t where; /* private: where a walk stands; 0 before it */
	uint32_t end;	/* private: where the records end */
};

/*
 * Opens the database at path; a link is not followed. Returns 0, or -1 with
 * errno: ENOENT if there is none; EBADMSG if it is not a cdb; EFBIG.
 */
int cdbfile_open(struct cdbfile *file, const char *path);
void cdbfile_close(struct cdbfile *file);

/*
 * Looks a key up. Returns 1 with the data (in the map, valid until
 * cdbfile_close), 0 if the key is not there, or -1 with errno EBADMSG.
 */
int cdbfile_find(const struct cdbfile *file, const char *key, size_t length,
	cdb_data *data);

/*
 * Walks through all records in the order of the file. Returns 1 with the next
 * one, 0 after the last, or -1 with errno EBADMSG.
 */
int cdbfile_next(struct cdbfile *file, cdb_data *key, cdb_data *data);

#endif
