"""What the Python programs have in common: a login is a line of a form on standard input, and its outcome a line on standard output."""

import sys
from urllib.parse import parse_qsl, urlencode


def answer(outcome):
    print(urlencode(outcome), flush=True)


def logins():
    for line in sys.stdin:
        yield dict(parse_qsl(line.rstrip("\n"), keep_blank_values=True))


def failure(error):
    text = " ".join(str(error).split()) or type(error).__name__
    code = getattr(error, "sqlstate", None)
    return {"error": text} if code is None else {"error": text, "code": code}
