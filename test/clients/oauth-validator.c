/*
 * A validator module of PostgreSQL 18: a token is good when it is "good-" and the name of whom it proves. Its headers come with no package
 * of ours, so what of them it needs is written here (fmgr.h, libpq/oauth.h).
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

extern char *pstrdup(const char *text);

static const struct
{
	int len;
	struct { int version, funcmaxargs, indexmaxkeys, namedatalen, float8byval; char abi_extra[32]; } abi;
	const char *name, *version_text;
} magic = {sizeof(magic), {1800, 100, 32, 64, 1, "PostgreSQL"}, NULL, NULL};

const void *Pg_magic_func(void) { return &magic; }

struct result { bool authorized; char *authn_id; };

static bool validate(const void *state, const char *token, const char *role, struct result *result)
{
	(void) state;
	(void) role;
	result->authorized = strncmp(token, "good-", 5) == 0;
	result->authn_id = result->authorized ? pstrdup(token + 5) : NULL;
	return true;
}

static const struct
{
	uint32_t magic;
	void (*startup)(void *);
	void (*shutdown)(void *);
	bool (*validate)(const void *, const char *, const char *, struct result *);
} callbacks = {0x20250220, NULL, NULL, validate};

const void *_PG_oauth_validator_module_init(void) { return &callbacks; }
